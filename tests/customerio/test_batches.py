from collections import defaultdict

from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from walker_dest_customerio.batches import REQUEST_BYTES, split_by_size, stages


@frozen
class Task:
    number: int
    people: tuple[str, ...]
    exclusive: bool = False


def split(tasks: list[Task]) -> list[list[Task]]:
    return stages(
        tasks,
        lambda task: task.people if task.exclusive else (),
        lambda task: task.people,
        lambda task: (),
    )


people = st.lists(st.sampled_from("abcd"), min_size=1, max_size=2, unique=True).map(tuple)
tasks = st.lists(st.tuples(people, st.booleans()), max_size=20).map(
    lambda pairs: [Task(at, who, exclusive) for at, (who, exclusive) in enumerate(pairs)]
)


def test_tasks_that_may_share_are_one_wave() -> None:
    many = [Task(at, ("a",)) for at in range(5)]
    assert split(many) == [many]
    assert split([]) == []


def test_task_that_is_alone_stands_between_what_was_before_and_what_comes_after() -> None:
    before, delete, after = Task(0, ("a",)), Task(1, ("a",), exclusive=True), Task(2, ("a",))
    assert split([before, delete, after]) == [[before], [delete], [after]]


def test_other_people_do_not_wait() -> None:
    delete, after, other = Task(0, ("a",), exclusive=True), Task(1, ("a",)), Task(2, ("b",))
    assert split([delete, after, other]) == [[delete, other], [after]]


def test_task_of_two_people_waits_for_both() -> None:
    first, delete = Task(0, ("a",)), Task(1, ("b",), exclusive=True)
    merge, after = Task(2, ("a", "b"), exclusive=True), Task(3, ("a",))
    assert split([first, delete, merge, after]) == [[first, delete], [merge], [after]]


@given(tasks)
def test_every_task_is_in_one_stage(given_tasks: list[Task]) -> None:
    found = [task for stage in split(given_tasks) for task in stage]
    assert sorted(found, key=lambda task: task.number) == given_tasks


@given(tasks)
def test_a_person_never_shares_a_stage_with_an_exclusive_task(given_tasks: list[Task]) -> None:
    for stage in split(given_tasks):
        named = defaultdict(list)
        for task in stage:
            for person in task.people:
                named[person].append(task.exclusive)
        assert all(exclusive == [True] or not any(exclusive) for exclusive in named.values())


@given(tasks)
def test_a_persons_order_is_kept_around_exclusive_tasks(given_tasks: list[Task]) -> None:
    stage_of = {task: at for at, stage in enumerate(split(given_tasks)) for task in stage}
    for one in given_tasks:
        for other in given_tasks[one.number + 1 :]:
            if set(one.people) & set(other.people):
                assert stage_of[one] <= stage_of[other]
                if one.exclusive or other.exclusive:
                    assert stage_of[one] < stage_of[other]


@given(st.lists(st.integers(1, 32_000), max_size=60), st.integers(32_100, 100_000))
def test_requests_keep_order_and_limit(sizes: list[int], limit: int) -> None:
    numbered = list(enumerate(sizes))
    groups = list(split_by_size(numbered, lambda pair: pair[1], limit))
    assert [pair for group in groups for pair in group] == numbered
    for group in groups:
        assert len(b'{"batch":[]}') + sum(size + 1 for _, size in group) - 1 <= limit


def test_requests_are_as_few_as_the_limit_allows() -> None:
    sized = [(at, 31_000) for at in range(20)]
    assert [len(group) for group in split_by_size(sized, lambda pair: pair[1], REQUEST_BYTES)] == [
        16,
        4,
    ]


def test_commas_between_operations_count() -> None:
    frame = len(b'{"batch":[]}')
    assert [len(group) for group in split_by_size([9] * 3, lambda size: size, frame + 29)] == [2, 1]
    assert [len(group) for group in split_by_size([9] * 3, lambda size: size, frame + 30)] == [3]
