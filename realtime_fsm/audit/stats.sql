-- How the connections of realtime_fsm lived: the figures of `realtime-fsm audit` in DuckDB (1.1 or later), over any number of
-- files, also on object stores. Made by `realtime-fsm audit --sql`, for table $machine and schema $schema.
--
-- How to use it:
--   realtime-fsm audit --sql 'logs/*.jsonl.gz' > life.sql
--   duckdb -init life.sql                                   and ask:  FROM availability;
--   (cat life.sql; echo 'FROM availability;') | duckdb      without a prompt
--   duckdb life.duckdb < life.sql                           to keep the views in a file
$reads-- For s3://, gcs:// and the like DuckDB wants to know who asks:  CREATE SECRET (TYPE s3, PROVIDER credential_chain);
-- The views read the logs anew for each question. For many questions, read them once:
--   CREATE TABLE kept AS FROM records;  CREATE OR REPLACE VIEW records AS FROM kept;
-- or make them Parquet, for `realtime-fsm audit --sql records.parquet`:
--   COPY (FROM records) TO 'records.parquet' (FORMAT parquet, COMPRESSION zstd);
--
-- What there is:
--   availability     how each connection lived: availability in per cent, failures, the time in each state, what was lost
--   outages          one by one, as `realtime.outage` records tell them: when, how long, why, how many dials, how it ended
--   faults           one by one: when the server answered, and could not work, and for how long
--   percentiles      of the time to re-subscribe and of the round trips of pings
--   rows_taken       how often each row of this table was taken; the other views also take records of another table
--   transitions, subscriptions, pings, records        what happened, one by one; `lines`, `followed`, `spells`, `lasting`
--                    lead there
--   left_out         records of another schema, or without a field that they must have
-- Times are in seconds, moments in UTC; `elapsed` counts from the beginning of a connection. Where connection_id is NULL, the line is
-- of all connections together. Files and lines may come in any order, and what comes twice counts once. Nothing is made up for
-- records that are missing (`missing` counts them). None of this judges a connection: `realtime-fsm audit` does.
$note

CREATE OR REPLACE MACRO is_live(state) AS state IN ($live);

-- The moment that a text tells, in UTC: ISO 8601, in UTC unless it says otherwise; or a number since 1970, whose size tells seconds,
-- milliseconds, microseconds or nanoseconds.
CREATE OR REPLACE MACRO iso(told) AS epoch_us(TRY_CAST(
    told || CASE WHEN told SIMILAR TO '.*:.*(Z|[+-][0-9:]+)' THEN '' ELSE 'Z' END AS TIMESTAMPTZ));
CREATE OR REPLACE MACRO moment(told) AS make_timestamp(coalesce(
    iso(regexp_replace(replace(told, ',', '.'), '([+-][0-9]{2})([0-9]{2})$$', '\1:\2')),
    CASE WHEN TRY_CAST(told AS DOUBLE) < 0 THEN NULL
        WHEN TRY_CAST(told AS DOUBLE) < 1e11 THEN (TRY_CAST(told AS DOUBLE) * 1e6)::BIGINT
        WHEN TRY_CAST(told AS DOUBLE) < 1e14 THEN (TRY_CAST(told AS DOUBLE) * 1e3)::BIGINT
        WHEN TRY_CAST(told AS DOUBLE) < 1e17 THEN TRY_CAST(told AS DOUBLE)::BIGINT
        WHEN TRY_CAST(told AS DOUBLE) < 1e20 THEN (TRY_CAST(told AS DOUBLE) / 1e3)::BIGINT END
));

-- A text that names one of our events.
CREATE OR REPLACE MACRO of_us(told) AS CASE WHEN starts_with(told, 'realtime.') THEN told END;

$macros-- Whatever looks like a record; lines that are no JSON or name another event are passed over. `whole`: whether it can be used.
CREATE OR REPLACE VIEW lines AS
SELECT
    *,
    coalesce("schema", $schema) = $schema AND $given AS whole
FROM (
    SELECT
        $columns
    FROM (
        $sources
    )
)
WHERE starts_with(event, 'realtime.')
    AND (machine IS NOT NULL)::INT + (connection_id IS NOT NULL)::INT + (seq IS NOT NULL)::INT + (link IS NOT NULL)::INT
        >= CASE WHEN event IN ($events) THEN 1 ELSE 3 END;

CREATE OR REPLACE VIEW left_out AS
SELECT event, "schema", machine, count(*) AS records
FROM lines
WHERE whole IS NOT TRUE
GROUP BY ALL;

CREATE OR REPLACE VIEW records AS
SELECT * EXCLUDE (whole)
FROM lines
WHERE whole;

-- Every record in its place, once. `missing`: how many records of the connection should have come before and did not. `desired`:
-- how many subscriptions are desired from then on. `elapsed`: seconds of the connection. `moves`: whether a step left the state.
-- `spent`: seconds in the state so far. `told`: the records of outages before. `covered`: seconds of a draining link's delivery.
CREATE OR REPLACE VIEW followed AS
WITH counted AS (
    SELECT
        *,
        source <> dest AS moves,
        -- Other kinds of records may tell a dwell, too; only that of a step counts, or of the end of a draining link.
        event IN ($event_transition, $event_retired) AS tells_time,
        seq - dense_rank() OVER earlier AS missing,
        CASE WHEN event = $event_subscription AND change <> $change_acknowledged
            THEN (change = $change_desired)::INT - (lag(change, 1, '') OVER of_subscription = $change_desired)::INT END AS comes
    FROM records
    WINDOW
        earlier AS (PARTITION BY connection_id ORDER BY seq),
        of_subscription AS (PARTITION BY connection_id, subscription, change = $change_acknowledged ORDER BY seq)
    QUALIFY seq IS DISTINCT FROM lag(seq) OVER earlier
),
stepped AS (
    SELECT
        *,
        sum(comes) OVER so_far AS desired,
        CASE WHEN tells_time THEN dwell
            - coalesce(lag(CASE WHEN moves THEN 0 WHEN tells_time THEN dwell END IGNORE NULLS) OVER earlier, 0) END AS passes,
        -- Where records are missing, or contradict each other, nobody knows how much time had passed.
        missing <> coalesce(lag(CASE WHEN moves IS NOT NULL THEN missing END IGNORE NULLS) OVER earlier, 0)
            OR source <> coalesce(lag(dest IGNORE NULLS) OVER earlier, $disconnected) AS resumes,
        count(*) FILTER (event = $event_outage) OVER before AS told,
        -- An outage is known to last where no record is missing since the one that begins it.
        coalesce(lag(CASE WHEN event = $event_outage THEN CASE WHEN change = $change_opened THEN missing ELSE -1 END END IGNORE NULLS)
            OVER earlier = missing, false) AS is_out
    FROM counted
    WINDOW
        earlier AS (PARTITION BY connection_id ORDER BY seq),
        so_far AS (PARTITION BY connection_id ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW),
        before AS (PARTITION BY connection_id ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
),
timed AS (
    SELECT
        * EXCLUDE (passes, comes, resumes),
        coalesce(sum(CASE WHEN resumes THEN 0 ELSE passes END) OVER so_far, 0) AS elapsed,
        CASE WHEN tells_time THEN least(dwell, elapsed) END AS spent
    FROM stepped
    WINDOW so_far AS (PARTITION BY connection_id ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
),
entered AS (
    SELECT
        *,
        lag(CASE WHEN moves THEN {covers: is_live(source) AND dest = $reconnecting AND NOT is_out, told: told, missing: missing, failed: cause IS NOT NULL}
            END IGNORE NULLS) OVER earlier AS entry,
        coalesce(lag(CASE WHEN moves THEN 0 ELSE spent END IGNORE NULLS) OVER earlier, 0) AS spent_before
    FROM timed
    WINDOW earlier AS (PARTITION BY connection_id ORDER BY seq)
)
SELECT
    * EXCLUDE (tells_time, is_out, entry, spent_before),
    -- In `reconnecting` a draining link delivers until a record begins an outage.
    CASE WHEN coalesce(entry.covers AND entry.told = told AND entry.missing = missing, false)
        THEN CASE WHEN event = $event_outage THEN spent_before ELSE spent END
        WHEN tells_time THEN 0 END AS covered,
    coalesce(source = $disconnected AND entry.failed AND entry.missing = missing, false) AS unwanted
FROM entered;

CREATE OR REPLACE VIEW transitions AS
SELECT
    connection_id, seq, "timestamp", elapsed, link, "row", "trigger", source, dest, dwell, attempt, sends, cause, error_code,
    close_code, status, retry_after, lag, missing
FROM followed
WHERE event = $event_transition;

CREATE OR REPLACE VIEW subscriptions AS
SELECT connection_id, seq, "timestamp", elapsed, link, subscription, change, error_code, desired
FROM followed
WHERE event = $event_subscription;

CREATE OR REPLACE VIEW pings AS
SELECT connection_id, seq, "timestamp", elapsed, link, dwell AS round_trip
FROM followed
WHERE moves AND "trigger" = $on_pong;

-- What was before each record of an outage, and after the last one.
CREATE OR REPLACE VIEW spells AS
SELECT
    connection_id,
    told,
    count(*) AS records,
    max(missing) AS missing,
    min(seq) AS first_seq,
    max(seq) AS last_seq,
    arg_min("timestamp", seq) AS "first",
    arg_max("timestamp", seq) AS "last",
    coalesce(max(seconds) FILTER (event = $event_gap), 0) AS gap,
    count(*) FILTER (moves AND dest = $error) AS gave_up,
    count(*) FILTER (event = $event_subscription AND change = $change_rejected) AS rejected,
    coalesce(sum("count") FILTER (event = $event_dropped), 0) AS dropped,
    count(*) FILTER (event = $event_gap) AS gaps,
    count(*) FILTER (event = $event_malformed) AS malformed,
    count(*) FILTER (event = $event_fault AND change = $change_opened) AS faults,
    bool_or(event = $event_close) AS closed,
    sum(covered) FILTER (moves OR event = $event_outage) AS covered,
    sum(spent) FILTER (moves AND unwanted) AS unwanted,
    -- Of the last step: its number, where it led, its time there, and the records that were missing by then.
    max(seq) FILTER (spent IS NOT NULL) AS last_step,
    arg_max(dest, seq) AS state,
    arg_max(CASE WHEN moves THEN 0 ELSE spent END, seq) AS stayed,
    arg_max(CASE WHEN moves OR event = $event_outage THEN 0 ELSE covered END, seq) AS still_covered,
    arg_max(CASE WHEN moves OR NOT unwanted THEN 0 ELSE spent END, seq) AS still_unwanted,
    arg_max(missing, seq) FILTER (event = $event_transition) AS missing_then,
    max(seq) FILTER (moves) AS last_move,
    arg_max(cause IS NOT NULL, seq) FILTER (moves) AS failed,
    $spent
FROM followed
GROUP BY ALL;

-- The connections whose outage no record ends. `waited`: the seconds from the last step of each until the end of the log, which is
-- the newest of the last moments of all connections.
CREATE OR REPLACE VIEW lasting AS
SELECT connection_id, greatest(0, (epoch_us(max("last") OVER ()) - epoch_us(last_step)) / 1e6) AS waited, is_out
FROM (
    SELECT
        connection_id,
        arg_max("timestamp", seq) AS "last",
        coalesce(arg_max("timestamp", seq) FILTER (event IN ($event_transition, $event_retired)), "last") AS last_step,
        coalesce(arg_max(change = $change_opened AND missing = last_missing, seq) FILTER (event = $event_outage), false)
            AND NOT bool_or(event = $event_close) AND arg_max(dest, seq) IS DISTINCT FROM $disposing AS is_out
    FROM (SELECT *, max(missing) OVER (PARTITION BY connection_id) AS last_missing FROM followed)
    GROUP BY connection_id
)
QUALIFY is_out;

-- The outages as the client's records tell them. One that no record ends lasts until the end of the log.
CREATE OR REPLACE VIEW outages AS
SELECT
    connection_id, seq, "timestamp" - to_microseconds((seconds * 1e6)::BIGINT) AS "start", round(finish - lasted, 6) AS elapsed,
    round(lasted, 6) AS seconds, coalesce(cause, 'missing') AS cause, planned, dials,
    coalesce(gap, 0) AS gap, ended
FROM (
    SELECT
        * REPLACE (CASE WHEN is_over THEN dials ELSE dials + last_link - link END AS dials),
        CASE WHEN is_over THEN elapsed ELSE last_elapsed + coalesce(waited, 0) END AS finish,
        CASE WHEN is_over THEN seconds ELSE last_elapsed + coalesce(waited, 0) - elapsed END AS lasted,
        CASE WHEN is_over THEN 'healed' WHEN last_state = $disposing THEN 'disposed' ELSE '' END AS ended,
        -- The gaps in it come before the record that ends it, and after the one that begins it.
        CASE WHEN is_over THEN told ELSE told + 1 END AS of_spell
    FROM (
        SELECT
            *,
            change = $change_closed AS is_over,
            max(elapsed) OVER (PARTITION BY connection_id) AS last_elapsed,
            max(missing) OVER (PARTITION BY connection_id) AS last_missing,
            max(link) OVER (PARTITION BY connection_id) AS last_link,
            last_value(dest IGNORE NULLS) OVER (
                PARTITION BY connection_id ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS last_state,
            count(*) FILTER (event = $event_outage) OVER (PARTITION BY connection_id) AS told_in_all
        FROM followed
        LEFT JOIN lasting USING (connection_id)
    )
    WHERE event = $event_outage AND (is_over OR (told = told_in_all - 1 AND missing = last_missing))
)
LEFT JOIN (SELECT connection_id, told AS of_spell, gap FROM spells) USING (connection_id, of_spell);

-- The server faults, one by one: when they ended or, where they are not over, were noticed; and how long they were.
CREATE OR REPLACE VIEW faults AS
SELECT connection_id, seq, "timestamp", link, since, "until", change = $change_closed AS ended,
    round(CASE WHEN change = $change_closed THEN least(seconds, elapsed)
        ELSE least(seconds + last_elapsed - elapsed, last_elapsed) + coalesce(waited, 0) END, 6) AS seconds
FROM (
    SELECT
        *,
        max(elapsed) OVER (PARTITION BY connection_id) AS last_elapsed,
        max(missing) OVER (PARTITION BY connection_id) AS last_missing,
        lead(CASE WHEN event = $event_fault THEN change END IGNORE NULLS) OVER (PARTITION BY connection_id ORDER BY seq) AS follows
    FROM followed
    LEFT JOIN lasting USING (connection_id)
)
WHERE event = $event_fault AND (change = $change_closed OR (follows IS NULL AND missing = last_missing));

-- The figures of each connection, and of all together. `availability`: the share of the wanted time in which a link delivered, in
-- per cent. A draining link counts until an outage begins; a link whose server is at fault does not count.
-- `state`: where it stood at last, if that is known. One column for the time in each state.
CREATE OR REPLACE VIEW availability AS
WITH connections AS (
    SELECT
        connection_id,
        sum(records) AS records,
        max(missing) AS missing,
        arg_min("first", first_seq) AS "first",
        arg_max("last", last_seq) AS "last",
        CASE WHEN max(missing) = coalesce(arg_max(missing_then, last_step), 0)
            THEN coalesce(arg_max(state, last_step), $disconnected) END AS state,
        coalesce(arg_max(stayed, last_step), 0) AS stayed,
        coalesce(sum(covered), 0) AS covered,
        coalesce(arg_max(still_covered, last_step), 0) AS still_covered,
        bool_or(closed) AS closed,
        sum(gave_up) AS gave_up,
        sum(rejected) AS rejected,
        sum(dropped) AS dropped,
        sum(gaps) AS gaps,
        sum(malformed) AS malformed,
        sum(faults) AS faults,
        coalesce(sum(unwanted), 0) AS unwanted,
        coalesce(arg_max(still_unwanted, last_step), 0) AS still_unwanted,
        coalesce(arg_max(failed, last_move), false) AS failed,
        $spent_in_all
    FROM spells
    GROUP BY connection_id
),
lives AS (
    SELECT
        *,
        $up + covered AS up,
        coalesce(at_fault, 0) AS faulty,
        $column_reconnecting - covered + $column_error + unwanted AS down
    FROM (SELECT * REPLACE (
        covered + CASE WHEN state = $reconnecting THEN still_covered ELSE 0 END AS covered,
        unwanted + CASE WHEN state = $disconnected THEN still_unwanted + CASE WHEN failed THEN coalesce(waited, 0) ELSE 0 END
            ELSE 0 END AS unwanted,
        $spent_to_the_end
    ) FROM connections LEFT JOIN lasting USING (connection_id))
    LEFT JOIN (SELECT connection_id, sum(seconds) AS at_fault FROM faults GROUP BY connection_id) USING (connection_id)
    LEFT JOIN (
        SELECT connection_id, count(*) AS failures, count(*) FILTER (ended = 'healed') AS recovered,
            sum(seconds) FILTER (ended = 'healed') AS recovering
        FROM outages
        WHERE NOT planned
        GROUP BY connection_id
    ) USING (connection_id)
)
SELECT
    connection_id,
    sum(records) AS records,
    sum(missing) AS missing,
    min("first") AS "first",
    max("last") AS "last",
    CASE WHEN grouping(connection_id) = 0 THEN any_value(state) END AS state,
    bool_and(closed OR coalesce(state = $disposing, false)) AS ended,
    100 * greatest(0, sum(up) - sum(faulty)) / nullif(sum(up + down), 0) AS availability,
    coalesce(sum(failures), 0) AS failures,
    sum(up) / nullif(sum(failures), 0) AS between_failures,
    sum(recovering) / nullif(sum(recovered), 0) AS to_recovery,
    sum(gave_up) AS gave_up,
    sum(rejected) AS rejected,
    sum(dropped) AS dropped,
    sum(gaps) AS gaps,
    sum(malformed) AS malformed,
    sum(faults) AS faults,
    round(sum(faulty), 6) AS at_fault,
    $spent_by_all
FROM lives
GROUP BY GROUPING SETS ((connection_id), ());

-- Of the time to re-subscribe after the loss of a link, and of the round trips of pings.
CREATE OR REPLACE VIEW percentiles AS
SELECT
    connection_id,
    what,
    count(*) AS "count",
    avg(seconds) AS mean,
    quantile_disc(seconds, 0.5) AS p50,
    quantile_disc(seconds, 0.95) AS p95,
    quantile_disc(seconds, 0.99) AS p99,
    max(seconds) AS most
FROM (
    SELECT connection_id, 'resubscribe' AS what, seconds FROM outages WHERE ended = 'healed' AND NOT planned
    UNION ALL
    SELECT connection_id, 'ping', round_trip FROM pings
)
GROUP BY GROUPING SETS ((connection_id, what), (what));

-- How often each row of the table was taken; of all connections together also those that never were.
CREATE OR REPLACE VIEW rows_taken AS
WITH taken AS (
    SELECT connection_id, "row", count(*) AS "count"
    FROM followed
    WHERE event = $event_transition AND machine = '$machine'
    GROUP BY GROUPING SETS ((connection_id, "row"), ("row"))
)
SELECT connection_id, coalesce("row", id) AS "row", coalesce("count", 0) AS "count"
FROM taken
FULL JOIN (SELECT unnest([$rows]) AS id) ON "row" = id;
