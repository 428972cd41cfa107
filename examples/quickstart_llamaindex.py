"""A cascade as LlamaIndex's LLM: offline, with no key, in seconds.

python examples/quickstart_llamaindex.py

The two models are clients of a scripted server on loopback; for yours, replace ``models`` by, for
example, ``[OpenAI("gpt-4.1-nano", logprobs=True), OpenAI("gpt-4.1")]``.
"""

from llama_index.core import Settings
from llama_index.core.llms import ChatMessage, ChatResponse
from llama_index.llms.openai_like import OpenAILike

from llamaindex_cascade import CascadeRouterLLM, Price
from scripted_server import ScriptedServer, Text

PRICES = {
    "small": Price(input=0.1, output=0.4),  # US dollars per million tokens
    "large": Price(input=2.0, output=8.0),
}
# The small model knows capitals and is unsure of everything else; the large one knows.
SCRIPTS = {
    "small": lambda body: (
        Text("Paris.", logprob=-0.01)
        if "capital" in body["messages"][-1]["content"]
        else Text("Perhaps 400 or so?", logprob=-1.5)
    ),
    "large": [Text("17 x 23 = 391, because 17 x 20 = 340 and 17 x 3 = 51.")],
}


def client(model: str, url: str) -> OpenAILike:
    """Return a client that asks for log-probabilities: how sure the model is of each token."""
    return OpenAILike(
        model=model,
        api_base=url,
        api_key="none",
        is_chat_model=True,
        max_retries=0,
        logprobs=True,
        top_logprobs=1,
        additional_kwargs={"stream_options": {"include_usage": True}},
    )


def explain(response: ChatResponse) -> None:
    """Print which models ran, and what it cost."""
    report = response.additional_kwargs["cascade"]
    for attempt in report["attempts"]:
        quality, dollars = attempt["estimated_quality"], attempt["cost_usd"]
        print(f"  {attempt['model']}: {attempt['status']}, quality {quality:.2f}, ${dollars:.7f}")
    print(f"  answered by {report['answered_by']} for ${report['cost_usd']:.7f}")


with ScriptedServer(SCRIPTS) as server:
    models = [client("small", server.base_url), client("large", server.base_url)]
    Settings.llm = CascadeRouterLLM(models=models, prices=PRICES)

    question = "What is the capital of France?"
    response = Settings.llm.chat([ChatMessage(question)])
    print(f"{question}\n{response.message.content}")
    explain(response)

    question = "What is 17 x 23?"
    print(f"\n{question}")
    for chunk in Settings.llm.stream_chat([ChatMessage(question)]):
        print(chunk.delta, end="", flush=True)
    print()
    explain(chunk)  # the last chunk carries the report
