-- `ending_epoch` is `newest_epoch` from the moment a sale begins to end; `ended`: the engine has forgotten it, every order
-- has its row, and nobody looks after it any more until its window moves.
ALTER TABLE sales ADD COLUMN ending_epoch INTEGER NULL;
ALTER TABLE sales ADD COLUMN ended INTEGER NOT NULL DEFAULT 0;
CREATE INDEX sales_by_ended ON sales (ended, product_id);
CREATE INDEX products_by_end ON products (sale_ends_at);
