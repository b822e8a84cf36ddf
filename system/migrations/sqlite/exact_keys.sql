-- `content`: a digest of what a product was created as; empty of other changes.
ALTER TABLE stock_changes ADD COLUMN content TEXT NOT NULL DEFAULT '';
