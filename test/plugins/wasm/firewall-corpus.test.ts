/**
 * The firewall plugin against SQL that nobody wrote for it: PostgreSQL's regression tests, about
 * which its grammar has told the truth, and the payloads of sqlmap.
 */
import { describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { z } from 'zod'
import { type Firewall, startFirewall } from './firewall-scene.ts'
import { fetchSqlmap, injections } from './firewall-sqlmap.ts'

const CORPUS = join(import.meta.dirname, '../../fixtures/sql/postgres-regress.jsonl.gz')
const ROW = z.tuple([z.string(), z.string()], z.string())

interface Statement {
  readonly sql: string
  readonly kind: string
  readonly facts: readonly string[]
}

const statements: readonly Statement[] = gunzipSync(readFileSync(CORPUS))
  .toString('utf8')
  .split('\n')
  .map((line) => {
    const [sql, kind, ...facts] = ROW.parse(JSON.parse(line))
    return { sql, kind, facts }
  })

/** Kinds that may pass a read-only gateway where they change nothing within. */
const READING = new Set([
  'SelectStmt',
  'ExplainStmt',
  'TransactionStmt',
  'VariableSetStmt',
  'VariableShowStmt',
  'FetchStmt',
  'DeclareCursorStmt',
  'ClosePortalStmt',
  'PrepareStmt',
  'ExecuteStmt',
  'DeallocateStmt',
  'DiscardStmt',
  'ListenStmt',
  'UnlistenStmt',
  'CopyStmt',
  'ConstraintsSetStmt',
])

/** Shows what was counted, and what is behind it, where POSTERN_SHOW is set. */
function tell(count: string, behind: readonly string[]): void {
  if (process.env['POSTERN_SHOW'] === undefined) return
  process.stderr.write(`${count}\n${behind.map((sql) => `  ${sql}\n`).join('')}`)
}

describe("PostgreSQL's regression tests", () => {
  test('nothing that changes anything passes a read-only gateway', async () => {
    const firewall = await startFirewall({ readOnly: true })
    const passed: string[] = []
    let reading = 0
    const refused: string[] = []
    for (const { sql, kind, facts } of statements) {
      const verdict = firewall.query(sql)
      // EXPLAIN without ANALYZE changes nothing, whatever it explains.
      const explains = kind === 'ExplainStmt' && !/analy[sz]e/i.test(sql)
      const changes = (facts.length > 0 && !explains) || !READING.has(kind)
      if (changes && verdict === 'pass') passed.push(sql)
      if (kind !== 'SelectStmt' || changes) continue
      reading++
      if (verdict !== 'pass') refused.push(sql)
    }
    expect(passed).toEqual([])
    // What it refuses of what only reads calls functions that write, or run a text.
    const named =
      /\b(lo_|lowrite|nextval|setval|set_config|\w+_xml|dblink|pg_|brin_|gin_|ts_rewrite)/i
    const truly = refused.filter((sql) => !named.test(sql))
    tell(`read-only: refused ${refused.length} of ${reading}`, truly)
    expect(truly).toEqual([])
    expect(refused.length / reading).toBeLessThan(0.03)
  }, 60_000)

  test('every UPDATE and DELETE without WHERE is found, and nearly nothing else', async () => {
    const firewall = await startFirewall({
      checks: { unbounded: 'deny', injection: 'off', serverAccess: 'off', unreadable: 'off' },
    })
    const missed: string[] = []
    const wrong: string[] = []
    for (const { sql, facts } of statements) {
      const isFound = firewall.query(sql) !== 'pass'
      if (facts.includes('unbounded') && !isFound) missed.push(sql)
      if (!facts.includes('unbounded') && isFound) wrong.push(sql)
    }
    tell('unbounded wrong', wrong)
    expect(missed).toEqual([])
    expect(wrong).toEqual([])
  }, 60_000)

  test('false alarms of the other checks are as the README counts them', async () => {
    const firewall = await startFirewall({ checks: { unbounded: 'off', injection: 'deny' } })
    const counts: Record<string, number> = {}
    const alarms: string[] = []
    for (const { sql } of statements) {
      const verdict = firewall.query(sql)
      counts[verdict] = (counts[verdict] ?? 0) + 1
      if (verdict.endsWith('injection')) alarms.push(sql)
    }
    tell(JSON.stringify(counts), alarms)
    expect(alarms.length).toBeLessThan(10)
  }, 60_000)
})

const sqlmap = await fetchSqlmap()

describe.skipIf(sqlmap === null)('payloads of sqlmap (needs PyPI, once)', () => {
  test('are found as often as the README says', async () => {
    const firewall: Firewall = await startFirewall({ checks: { injection: 'deny' } })
    const found: Record<string, [number, number]> = {}
    const missed: string[] = []
    for (const { group, sql } of injections(sqlmap ?? '')) {
      const at = found[group] ?? [0, 0]
      found[group] = at
      at[1]++
      if (firewall.query(sql) !== 'pass') at[0]++
      else missed.push(`${group}: ${sql}`)
    }
    tell(JSON.stringify(found), missed)
    for (const [group, [caught, all]] of Object.entries(found)) {
      const least = group.endsWith('PostgreSQL') ? 0.94 : 0.7
      expect([group, caught / all >= least]).toEqual([group, true])
    }
  }, 60_000)
})
