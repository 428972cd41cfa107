"""A LangChain agent whose backbone is a cascade; offline, without a key.

python examples/agent_langchain.py

Every step of the agent is a request of its own: here the small model chooses the tool, and the
large one writes the answer, because the small one's draft is unsure. A scripted server on loopback
stands in for a provider.
"""

from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from langchain_cascade import CascadeRouterLLM, Price
from scripted_server import ScriptedServer, Text, ToolCalls

SCRIPTS = {
    "small-model": [
        ToolCalls([("population", {"city": "Ulm"}), ("population", {"city": "Bern"})]),
        Text("Bern, I think.", logprob=-1.1),
    ],
    "large-model": [Text("Bern: 137,000 people live there, 11,000 more than in Ulm.")],
}


@tool
def population(city: str) -> int:
    """Return how many people live in a city."""
    return {"Bern": 137_000, "Ulm": 126_000}[city]


def main() -> None:
    """Ask a question that takes a tool."""
    with ScriptedServer(SCRIPTS) as server:
        cheap, strong = (
            ChatOpenAI(
                model=name,
                base_url=server.base_url,
                api_key="none",
                max_retries=0,
                logprobs=True,
            )
            for name in SCRIPTS
        )
        model = CascadeRouterLLM(
            models=[cheap, strong],
            prices={
                "small-model": Price(input=0.05, output=0.4),
                "large-model": Price(input=1.25, output=10.0),
            },
        )
        agent = create_agent(model, [population], name="geographer")
        state = agent.invoke({"messages": [("user", "Which is larger, Ulm or Bern?")]})
    for message in state["messages"]:
        print(f"{message.type}: {message.text or [call['args'] for call in message.tool_calls]}")
        if isinstance(message, AIMessage):
            report = message.response_metadata["cascade"]
            ran = " then ".join(attempt["model"] for attempt in report["attempts"])
            print(f"    {ran}; ${report['cost_usd']:.6f}")


if __name__ == "__main__":
    main()
