"""Inputs about secrets."""

import strawberry


@strawberry.input(description="A secret to create, or whose value to replace.")
class SecretPutInput:
    """A secret."""

    key: str = strawberry.field(description="Which one; it is created if there is none.")
    value: str = strawberry.field(
        description="Text of at least 6 characters and at most 32 kB; never shown again."
    )
