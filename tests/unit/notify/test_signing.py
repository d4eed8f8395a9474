"""Signatures, against the example of the specification."""

from townwatch.notify import signing

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'


def test_the_example_of_the_specification() -> None:
    found = signing.signature(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, BODY)
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_two_secrets_make_two_signatures() -> None:
    second = signing.new_secret()
    made = signing.headers([SECRET, second], "msg_1", 5, BODY)["webhook-signature"].split(" ")
    assert made == [signing.signature(one, "msg_1", 5, BODY) for one in (SECRET, second)]
    assert made[0] != made[1]
