-- hold_definitions: take turns with whoever else is about to save a schedule of one of these
-- definitions, until the transaction ends. There is no row to lock before the first of them is
-- written. The definitions share a few dozen advisory locks, so that saving a thousand takes no
-- more; in the order of their keys, so that two who save many never wait for each other in a circle.
SELECT count(pg_advisory_xact_lock(turn.key))
  FROM (SELECT DISTINCT hashtextextended(concat('definition|', CAST(:project_id AS text), '|',
                        hashtextextended(definition_hash, 0) & 63), 0) AS key
          FROM unnest(CAST(:definition_hashes AS text[])) AS definition_hash
         ORDER BY key) AS turn
