"""Header sections: which fields have addresses, and what changes when they do."""

from hypothesis import given
from hypothesis import strategies as st

from mta.proto.addressfields import AddressFields, FieldAddress, FieldClass

SECTION = (
    b"Received: from a@b.test\r\n"
    b"From: Alice <alice@here.test>\r\n"
    b"to: bob@here.test,\r\n\tcarol (x@y) , alice@here.test\r\n"
    b"Resent-CC : dave@here.test\r\n"
    b"X-To: eve@here.test\r\n"
    b"Subject: x\nTo: frank@here.test\r\n"
    b"Reply-To:\r\n alice@here.test\r\n"
    b"Errors-To: \r\n"
    b"\r\n"
)


def sender(address: str) -> FieldAddress:
    return FieldAddress(address, FieldClass.SENDER)


def recipient(address: str) -> FieldAddress:
    return FieldAddress(address, FieldClass.RECIPIENT)


def test_addresses_come_once_for_each_class() -> None:
    assert list(AddressFields(SECTION).addresses()) == [
        sender("alice@here.test"),
        recipient("bob@here.test"),
        recipient("carol"),
        recipient("alice@here.test"),
        recipient("dave@here.test"),
    ]


def test_a_field_changes_where_its_class_does() -> None:
    new = {sender("alice@here.test"): "a@new.test", recipient("carol"): "carol@new.test"}
    assert AddressFields(SECTION).replaced(new) == (
        SECTION.replace(b"<alice@here.test>", b"<a@new.test>")
        .replace(b"\r\n alice@here.test", b"\r\n a@new.test")
        .replace(b"carol", b"carol@new.test")
    )


def test_a_field_that_grows_is_folded_and_its_neighbours_are_not() -> None:
    long = b"Cc: " + b"d@e," * 300 + b"\r\n"
    section = b"To: " + b"a@b, " * 150 + b"\r\n" + long
    replaced = AddressFields(section).replaced({recipient("a@b"): "abc@b.test"})
    assert replaced.endswith(b"\r\n" + long)
    changed = replaced.removesuffix(long)
    assert max(map(len, changed.split(b"\r\n"))) <= 998
    assert changed.replace(b"\r\n", b"") == b"To: " + b"abc@b.test, " * 150


@given(
    st.lists(
        st.sampled_from(
            [b"To", b"From", b":", b" ", b"\r\n", b"\n", b"\r", b"a@b", b",", b"<", b">", b'"']
        ),
        max_size=30,
    ).map(b"".join)
)
def test_any_section_stays_what_it_is_where_nothing_is_replaced(section: bytes) -> None:
    fields = AddressFields(section)
    list(fields.addresses())
    assert fields.replaced({}) == section
