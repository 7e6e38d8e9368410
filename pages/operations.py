"""Operations: what people have changed, what became of it, and the way to take it back."""

from synchist.ui import operations_page

operations_page.show()
