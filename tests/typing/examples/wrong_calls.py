"""Mistakes of applications that a type checker must find, like those of plugins in `wrong`."""

from walker_collector import Collector


def application(collector: Collector) -> None:
    collector.push()  # E: Too few arguments
    collector.push(7)  # E: incompatible type "int"
    collector.push("order complete", wait="yes")  # E: expected "bool"
    collector.push("order complete", date={})  # E: Unexpected keyword argument "date"
    collector.push("order complete", user="ines")  # E: incompatible type "str"
    collector.push("order complete", {"total": 55})  # E: expected "Never"
    collector.push("order complete", consent={"marketing": "yes"})  # E: "str": "bool"
    collector.push("order complete", nested={"entity": "item"})  # E: incompatible type "dict
    collector.push("order complete", timestamp=[2026])  # E: incompatible type "list[int]"
    collector.push(name="order complete")  # E: Unexpected keyword argument "name"
    collector.consent({"marketing": "yes"})  # E: expected "str": "bool"
    collector.consent({"marketing": True}, user=None)  # E: incompatible type "None"
    collector.consent(marketing=True)  # E: Unexpected keyword argument "marketing"
    collector.consent("marketing")  # E: incompatible type "str"
    collector.flush("10")  # E: expected "float | None"


def started() -> None:
    Collector()  # E: Missing positional argument "flow"
    Collector({"destinations": {}})  # E: expected "FlowConfig"
    Collector("flow.json")  # E: expected "FlowConfig"


def statuses(collector: Collector) -> bool:
    result = collector.push("order complete")
    if collector.status_of("archive").state == "broken":  # E: Non-overlapping equality check
        return False
    return result.destinations["archive"] == "sent"  # E: Non-overlapping equality check


async def in_a_coroutine(collector: Collector) -> None:
    await collector.push("order complete")  # E: Incompatible types in "await"
    await collector.apush("order complete", date={})  # E: Unexpected keyword argument "date"
    await collector.apush("order complete", user="ines")  # E: incompatible type "str"
    await collector.aconsent("marketing")  # E: incompatible type "str"
    async with collector.apush("order complete"):  # E: has no attribute "__aexit__"
        pass
