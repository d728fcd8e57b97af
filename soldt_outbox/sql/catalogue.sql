-- SOLDT's products and collections, as the worker may read them. Both statements fail where the look-up is revoked or a table
-- is missing; a pair that is not returned does not exist.

-- name: shop_products
-- Products by (merchant, product) pairs, with their variants and the collections they are in.
select merchant_id, product_id, product, variants, collections
from omnisend_private.shop_products(%(merchants)s::uuid[], %(products)s::bigint[]);

-- name: shop_collections
-- Collections by (merchant, collection) pairs.
select merchant_id, collection_id, name
from omnisend_private.shop_collections(%(merchants)s::uuid[], %(collections)s::bigint[]);
