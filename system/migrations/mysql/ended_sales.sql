-- `ending_epoch` is `newest_epoch` from the moment a sale begins to end; `ended`: the engine has forgotten it, every order
-- has its row, and nobody looks after it any more until its window moves.
ALTER TABLE sales
    ADD COLUMN ending_epoch INT NULL,
    ADD COLUMN ended TINYINT NOT NULL DEFAULT 0,
    ADD KEY sales_by_ended (ended, product_id);

ALTER TABLE products ADD KEY products_by_end (sale_ends_at);
