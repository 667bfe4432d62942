-- read_halts: the halts that ended at :since or later, oldest first. Usually none.
SELECT halt.state, halt.began_at, halt.ended_at, halt.missed
  FROM halt
 WHERE halt.ended_at >= :since
 ORDER BY halt.ended_at
