"""The customers of the demo. None of them exists, and their addresses lead nowhere (RFC 2606)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Somebody who buys. Phone numbers are typed in any of the usual ways; ``address`` is as SOLDT's checkout writes it."""

    name: str
    email: str
    phone: str
    address: dict[str, str]

    @property
    def first_name(self) -> str:
        return self.name.partition(" ")[0]


def _customer(name: str, phone: str, lives: str) -> Customer:
    street, city, province, postal_code = lives.split(", ")
    return Customer(
        name=name,
        email=f"{name.lower().replace(' ', '.')}@example.com",
        phone=phone,
        address={"address": street, "city": city, "province": province, "postalCode": postal_code},
    )


NOMSA: Final = _customer("Nomsa Dlamini", "082 123 4567", "12 Long Street, Cape Town, Western Cape, 8001")
LERATO: Final = _customer("Lerato Mokoena", "+27 83 555 0102", "4 Vilakazi Street, Soweto, Gauteng, 1804")
JOHAN: Final = _customer("Johan van Wyk", "27845550103", "7 Church Street, Oudtshoorn, Western Cape, 6625")
FATIMA: Final = _customer("Fatima Adams", "021 555 0104", "71 Wale Street, Cape Town, Western Cape, 8001")
SIZWE: Final = _customer("Sizwe Khumalo", "0825550105", "3 Florida Road, Durban, KwaZulu-Natal, 4001")
ANELE: Final = _customer("Anele Botha", "083 555 0106", "18 Oxford Road, Johannesburg, Gauteng, 2196")
PRIYA: Final = _customer("Priya Naidoo", "+27845550107", "9 Umhlanga Drive, Durban, KwaZulu-Natal, 4319")
THABO: Final = _customer("Thabo Molefe", "072 555 0108", "22 Kerk Street, Bloemfontein, Free State, 9301")
ZANELE: Final = _customer("Zanele Ndlovu", "073 555 0109", "5 Main Road, Paarl, Western Cape, 7646")
WILLEM: Final = _customer("Willem Smit", "0745550110", "1 Market Square, Graaff-Reinet, Eastern Cape, 6280")
KEITU: Final = _customer(
    "Keitu Sebego", "+27 76 555 0111", "30 Nelson Street, Kimberley, Northern Cape, 8301"
)
AYESHA: Final = _customer("Ayesha Davids", "077 555 0112", "14 Rose Street, Cape Town, Western Cape, 8001")
BONGANI: Final = _customer("Bongani Zulu", "078 555 0113", "8 Ridge Road, Durban, KwaZulu-Natal, 4001")
CHARL: Final = _customer("Charl Pienaar", "0795550114", "66 Dorp Street, Stellenbosch, Western Cape, 7600")
DINEO: Final = _customer("Dineo Tau", "+27 60 555 0115", "2 Mandela Avenue, Polokwane, Limpopo, 0699")
EBEN: Final = _customer("Eben Fourie", "061 555 0116", "40 Voortrekker Road, Bellville, Western Cape, 7530")
