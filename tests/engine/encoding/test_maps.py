"""What waits comes out in order, whole, and from memory that is taken once."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from arssr.engine.encoding.maps import Queue, Workspace


@given(
    capacity=st.integers(0, 6),
    steps=st.lists(st.tuples(st.integers(0, 7), st.floats(0, 1)), max_size=12),
)
def test_planes_leave_in_the_order_in_which_they_came(
    capacity: int, steps: list[tuple[int, float]]
) -> None:
    queue, waiting, number = Queue(capacity), [], 0
    for count, share in steps:
        given = torch.arange(number, number + count, dtype=torch.float32).view(-1, 1, 1)
        queue.put(given.expand(-1, 2, 3))
        waiting += given.flatten().tolist()
        number += count
        assert len(queue) == len(waiting)
        taken = queue.take(int(share * len(queue)))
        found = [value for part in taken for value in part[:, 1, 2].tolist()]
        assert found == waiting[: len(found)] and len(taken) <= 2
        waiting = waiting[len(found) :]


def test_a_queue_that_is_long_enough_stays_where_it_is() -> None:
    queue = Queue(5)
    queue.put(torch.zeros(3, 2))
    [first] = queue.take(3)
    for _ in range(9):
        queue.put(torch.ones(4, 2))
        queue.put(torch.ones(1, 2))
        places = queue.take(5)
        assert min(part.data_ptr() for part in places) == first.data_ptr()


def test_a_place_is_used_again() -> None:
    workspace, like = Workspace(8), torch.empty(0)
    first = workspace.take("a", (3, 2, 2), like)
    assert workspace.take("a", (8, 2, 2), like).data_ptr() == first.data_ptr()
    assert workspace.take("b", (3, 2, 2), like).data_ptr() != first.data_ptr()
    assert workspace.take("a", (9, 2, 2), like).shape == (9, 2, 2)
