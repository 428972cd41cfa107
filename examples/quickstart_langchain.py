"""A LangChain chain whose model is a cascade; offline, without a key.

python examples/quickstart_langchain.py

A scripted server on loopback stands in for a provider. With real models nothing else changes:
``cheap = ChatOpenAI(model="gpt-5-nano", logprobs=True)``, and so on.
"""

from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

from langchain_cascade import CascadeRouterLLM, Price
from scripted_server import ScriptedServer, Text

# What the two models say, and how sure they are of their words (as log-probabilities).
EASY = "What is the capital of France?"
HARD = "Is 2**61 - 1 a prime number?"
CHEAP = {EASY: Text("Paris.", logprob=-0.01), HARD: Text("No, it is not.", logprob=-0.9)}
STRONG = {EASY: Text("Paris."), HARD: Text("Yes, it is the ninth Mersenne prime.", logprob=-0.02)}


def main() -> None:
    """Ask an easy question and a hard one."""
    scripts = {
        "small-model": lambda body: CHEAP[body["messages"][-1]["content"]],
        "large-model": lambda body: STRONG[body["messages"][-1]["content"]],
    }
    with ScriptedServer(scripts) as server:
        cheap, strong = (
            ChatOpenAI(
                model=name,
                base_url=server.base_url,
                api_key="none",
                max_retries=0,  # a failure hands over to the next model, at once
                logprobs=True,  # how sure the model was: what a draft is judged by
            )
            for name in scripts
        )
        model = CascadeRouterLLM(
            models=[cheap, strong],
            prices={  # US dollars per million tokens; known models need none
                "small-model": Price(input=0.05, output=0.4),
                "large-model": Price(input=1.25, output=10.0),
            },
        )
        prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), ("user", "{question}")])
        chain = prompt | model | tell | StrOutputParser()
        for question in (EASY, HARD):
            print(f"\n{question}")
            print(chain.invoke({"question": question}))


def tell(message: AIMessage) -> AIMessage:
    """Print which models ran, and pass the message on."""
    report = message.response_metadata["cascade"]
    for attempt in report["attempts"]:
        sure, dollars = attempt["estimated_quality"], attempt["cost_usd"]
        print(f"  {attempt['model']}: {attempt['status']}, {sure:.0%} sure, ${dollars:.6f}")
    print(f"  ${report['cost_usd']:.6f} in all, answered by {report['answered_by']}:")
    return message


if __name__ == "__main__":
    main()
