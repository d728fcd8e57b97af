"""SOLDT's side of the demo: the browser, the admin page and the server, each under the role it has on Supabase.

They know nothing of the outbox but one function. What each of their writes must cause is noted in the chronicle.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import count
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from sandbox.demo.chronicle import Chronicle, Key
from sandbox.demo.people import Customer
from sandbox.shops import Shop
from sandbox.world import Database
from soldt_outbox.events import Event, EventName
from soldt_outbox.rows import State

SHIPPING: Final = Decimal("60.00")
VAT: Final = Decimal(15) / Decimal(115)  # South African prices hold it already

_GOODS: Final = """
select p.id as product_id, v.id as variant_id, p.title, coalesce(v.price, p.price) as price, p.images[1] as image,
  (select string_agg(o.value, ' / ') from jsonb_each_text(v.option_values) o) as variant_title
from public.products p left join public.product_variants v on v.product_id = p.id
where p.id = %s order by v.id limit 1
"""
_PLACE: Final = """
insert into public.orders (merchant_id, customer_email, customer_name, customer_phone, shipping_address, items,
  subtotal, shipping, tax, total, payment_method, payment_status, payment_reference)
values (%(merchant_id)s, %(email)s, %(name)s, %(phone)s, %(address)s, %(items)s,
  %(subtotal)s, %(shipping)s, %(tax)s, %(total)s, %(method)s, %(payment_status)s, %(reference)s)
"""
_FIND: Final = "select id from public.orders where payment_reference = %s"
_ENQUEUE: Final = """
select public.omnisend_enqueue(p_merchant_id => %s, p_name => %s, p_payload => %s, p_dedup_key => %s,
  p_occurred_at => coalesce(%s, now()))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goods:
    """A thing from the catalogue, as the storefront shows it."""

    product_id: int
    variant_id: int | None
    title: str
    variant_title: str | None
    price: Decimal
    image: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order that was placed."""

    id: int
    shop: Shop
    customer: Customer

    def key(self, name: EventName) -> Key:
        return Key(self.shop.merchant_id, name, str(self.id))


class Soldt:
    """The shop platform at work. Every change of an order commits by itself, as through Supabase's API."""

    def __init__(self, database: Database, chronicle: Chronicle) -> None:
        self._database = database
        self._chronicle = chronicle
        self._owned = ExitStack()
        self._sessions: dict[tuple[str, UUID | None], psycopg.Connection] = {}
        self._references = (f"EFT-{number:04}" for number in count(1))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._owned.close()

    # The browser: role anon, which may insert an order and read the catalogue, and nothing else. ----------------------

    def place(
        self,
        shop: Shop,
        customer: Customer,
        *,
        paid: bool = True,
        quantity: int = 1,
        items: Any = None,
        fate: State = State.DELIVERED,
    ) -> Order:
        """A checkout: by card, and so ``paid`` on arrival, or by bank transfer.

        ``items`` replaces what a browser would write; ``fate`` is how its events must then end.
        """
        reference = self._insert(shop, customer, paid=paid, quantity=quantity, items=items)
        order = Order(id=self._id_of(shop, reference), shop=shop, customer=customer)
        self._note(order, EventName.ORDER_PLACED, fate)
        if paid:
            self._note(order, EventName.ORDER_PAID, fate)
        return order

    def place_together(self, shop: Shop, *customers: Customer) -> list[Order]:
        """Several checkouts by bank transfer that commit in the same instant."""
        with self._browser.transaction():
            references = [self._insert(shop, customer, paid=False) for customer in customers]
        orders = []
        for customer, reference in zip(customers, references, strict=True):
            orders.append(Order(id=self._id_of(shop, reference), shop=shop, customer=customer))
            self._note(orders[-1], EventName.ORDER_PLACED)
        return orders

    def place_and_roll_back(self, shop: Shop, customer: Customer) -> None:
        """A checkout that is written, and whose transaction then fails."""
        with self._browser.transaction(force_rollback=True):
            self._chronicle.rolled_back.append(self._insert(shop, customer, paid=True))

    def _insert(
        self, shop: Shop, customer: Customer, *, paid: bool, quantity: int = 1, items: Any = None
    ) -> str:
        goods = self.goods(shop.product_ids[0])
        subtotal = goods.price * quantity
        line = {
            "product_id": goods.product_id,
            "variant_id": goods.variant_id,
            "title": goods.title,
            "variant_title": goods.variant_title,
            "quantity": quantity,
            "price": float(goods.price),
            "subtotal": float(subtotal),
        }
        reference = next(self._references)
        self._browser.execute(
            _PLACE,
            {
                "merchant_id": shop.merchant_id,
                "email": customer.email,
                "name": customer.name,
                "phone": customer.phone,
                "address": Jsonb(customer.address),
                "items": Jsonb([line] if items is None else items),
                "subtotal": subtotal,
                "shipping": SHIPPING,
                "tax": round(subtotal * VAT, 2),
                "total": subtotal + SHIPPING,
                "method": "card" if paid else "eft",
                "payment_status": "paid" if paid else "awaiting_payment",
                "reference": reference,
            },
        )
        return reference

    def goods(self, product_id: int) -> Goods:
        """What the catalogue says of a product, in its first variant."""
        with self._browser.cursor(row_factory=psycopg.rows.class_row(Goods)) as cursor:
            found = cursor.execute(_GOODS, [product_id]).fetchone()
        if found is None:
            raise LookupError(f"no product {product_id} is on sale")
        return found

    # The admin page: role authenticated, under the owner's own claims. ------------------------------------------------

    def pay(self, order: Order) -> None:
        self._update(order, EventName.ORDER_PAID, payment_status="paid")

    def ship(self, order: Order) -> None:
        self._update(order, EventName.ORDER_FULFILLED, status="shipped")

    def save_tracking(self, order: Order, code: str) -> None:
        """The parcel's number, which SOLDT's admin saves after the status."""
        self._update(order, None, tracking_number=code, tracking_carrier="The Courier Guy")
        self._chronicle.tracking[order.key(EventName.ORDER_FULFILLED)] = code

    def deliver(self, order: Order) -> None:
        """After ``ship``: the second status that means fulfilled, which is told no second time."""
        self._update(order, None, status="delivered")

    def cancel(self, order: Order) -> None:
        self._update(order, EventName.ORDER_CANCELED, status="cancelled")

    def refund(self, order: Order) -> None:
        self._update(order, EventName.ORDER_REFUNDED, payment_status="refunded")

    def _update(self, order: Order, told: EventName | None, **columns: str) -> None:
        settings = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in columns)
        done = self.admin(order.shop).execute(
            sql.SQL("update public.orders set {} where id = %s").format(settings),
            [*columns.values(), order.id],
        )
        if done.rowcount != 1:
            raise LookupError(f"{order.shop.slug}'s admin could not change order {order.id}")
        if told is not None:
            self._note(order, told)

    # The server: role service_role, which calls the one function there is for it. ------------------------------------

    def tell(
        self,
        shop: Shop,
        name: str,
        properties: dict[str, Any],
        *,
        customer: Customer | None,
        dedup_key: str | None = None,
        occurred_at: datetime | None = None,
        fate: State = State.DELIVERED,
    ) -> Key:
        """An event of the storefront, under one of SOLDT's names for it and in SOLDT's fields."""
        contact = {"email": customer.email, "firstName": customer.first_name} if customer else {}
        event = Event.parse(name, merchant_id=shop.merchant_id, contact=contact, properties=properties)
        if dedup_key is None and event.dedup_key is None:
            raise ValueError(f"{name} needs a dedup_key: its properties name no occurrence")
        key = Key(shop.merchant_id, event.name, dedup_key or event.dedup_key or "")
        payload = {"contact": contact, "properties": properties}
        self._chronicle.happened(
            key,
            customer=customer.email if customer else None,
            fate=fate,
            refused=self._enqueue(shop, name, payload, dedup_key, occurred_at) is None,
        )
        return key

    def tell_again(self, order: Order, name: EventName) -> None:
        """An order's event by way of the function, although the order's own trigger wrote it already."""
        row_id = self._enqueue(order.shop, name, {"id": order.id}, str(order.id))
        self._chronicle.happened(order.key(name), customer=order.customer.email, refused=row_id is None)

    def _enqueue(
        self,
        shop: Shop,
        name: str,
        payload: dict[str, Any],
        dedup_key: str | None,
        occurred_at: datetime | None = None,
    ) -> int | None:
        """The function's answer: the row's id, or ``None`` where the occurrence was there already."""
        row = self._server.execute(
            _ENQUEUE, [shop.merchant_id, name, Jsonb(payload), dedup_key, occurred_at]
        ).fetchone()
        return row[0] if row else None

    # Sessions --------------------------------------------------------------------------------------------------------

    def admin(self, shop: Shop) -> psycopg.Connection:
        """The owner of a shop, signed in."""
        return self._session("authenticated", shop.owner_id)

    @property
    def visitor(self) -> psycopg.Connection:
        """Somebody who is not signed in."""
        return self._browser

    @property
    def _browser(self) -> psycopg.Connection:
        return self._session("anon")

    @property
    def _server(self) -> psycopg.Connection:
        return self._session("service_role")

    def _session(self, role: str, user_id: UUID | None = None) -> psycopg.Connection:
        if (role, user_id) not in self._sessions:
            claims = {"sub": user_id} if user_id else None
            self._sessions[role, user_id] = self._owned.enter_context(
                self._database.connect(role, claims=claims, autocommit=True)
            )
        return self._sessions[role, user_id]

    def _id_of(self, shop: Shop, reference: str) -> int:
        """The order's id, which the browser may not read back; the shop's admin sees it."""
        row = self.admin(shop).execute(_FIND, [reference]).fetchone()
        if row is None:
            raise LookupError(f"{shop.slug}'s admin does not see order {reference}")
        return int(row[0])

    def _note(self, order: Order, name: EventName, fate: State = State.DELIVERED) -> None:
        self._chronicle.happened(order.key(name), customer=order.customer.email, fate=fate)
