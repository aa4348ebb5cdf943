/** Cases run through the gateway's own chains: what is seen of them, and what fails them. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CaseOutcome, runCases } from '../../src/trial/cases.ts'
import { diffLines } from '../../src/trial/compare.ts'
import { readTrialFile } from '../../src/trial/file.ts'
import { assemble, describing, fileOf, manifestOf, modulePath } from '../fixtures/wasm/kit.ts'

const folder = mkdtempSync(join(tmpdir(), 'postern-cases-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** What a busy machine needs; what is promised here has no times in it. */
const PATIENT = 'limits: { callDeadline: 10s, startDeadline: 10s, cpuShareMax: 100 }\n'

async function outcomes(plugin: string, text: string): Promise<readonly CaseOutcome[]> {
  const path = join(folder, 'a.test.yaml')
  writeFileSync(path, `plugin: ${plugin}\n${text}`)
  return runCases(readTrialFile(path, {}))
}

/** What is wrong with the only case, as lines. */
async function wrong(plugin: string, steps: string, head = PATIENT): Promise<readonly string[]> {
  const [one] = await outcomes(plugin, `${head}cases:\n  - name: a\n    steps:\n${steps}`)
  return (one?.failures ?? []).flatMap(({ step, doing, reasons, differences }) => [
    ...reasons.map((reason) => `${step} ${doing}: ${reason}`),
    ...differences.flatMap((difference) => [
      `${step} ${doing}: ${difference.what}`,
      ...diffLines(difference),
    ]),
  ])
}

const verdicts = modulePath('verdicts')

describe('every verdict is seen, and what the gateway makes of it', () => {
  const steps: readonly (readonly [string, string])[] = [
    [
      'continue',
      `      - client: { Query: select 1 }
        expect: { verdict: continue, toServer: [Query: select 1], toClient: none }
      - server: [RowDescription: [n], DataRow: ["1"], CommandComplete: SELECT 1, ReadyForQuery: I]
        expect: { verdict: continue, toClient: [{ RowDescription: [n] }, DataRow: ["1"],
          CommandComplete: SELECT 1, ReadyForQuery: I] }
`,
    ],
    [
      'deny',
      `      - client: { Query: /*deny*/ }
        expect:
          verdict: { deny: { code: 42501, message: denied by verdicts, hint: leave it out } }
          toServer: none
          toClient: [ErrorResponse: { code: 42501 }, ReadyForQuery: I]
`,
    ],
    [
      'replace',
      `      - client: [Parse: /*replace*/]
        expect: { verdict: { replace: [Parse: "SELECT 'replaced'"] },
          toServer: [Parse: "SELECT 'replaced'"] }
`,
    ],
    [
      'replace of a row',
      `      - client: { Query: select 1 }
      - server: [DataRow: [a secret], CommandComplete: SELECT 1, ReadyForQuery: I]
        expect:
          verdict: { replace: [DataRow: ["a ******"]] }
          toClient: [DataRow: ["a ******"], CommandComplete: SELECT 1, ReadyForQuery: I]
`,
    ],
    [
      'respond',
      `      - client: { Query: /*respond*/ }
        expect:
          verdict: { respond: [CommandComplete: RESPONDED, ReadyForQuery: I] }
          toServer: none
          toClient: [CommandComplete: RESPONDED, ReadyForQuery: I]
`,
    ],
    [
      'close',
      `      - client: { Query: /*close-words*/ }
        expect:
          verdict: { close: [ErrorResponse: { severity: FATAL, code: 57P01 }] }
          toClient: [ErrorResponse: closed by verdicts]
`,
    ],
    [
      'one for each message',
      `      - client: [Parse: /*deny*/, Bind: {}, Execute: "", Sync]
        expect: { verdict: deny, toServer: none,
          toClient: [ErrorResponse: denied by verdicts, ReadyForQuery: I] }
      - client: [Parse: select 1, Parse: select 2]
        expect: { verdict: [continue, continue] }
`,
    ],
    [
      'not asked',
      `      - client: Sync
        expect: not asked
`,
    ],
    [
      'failure, where it is expected',
      `      - client: { Query: /*trap*/ }
        expect:
          verdict: { failure: { matches: "^onTrafficFromClient: trapped" } }
          toServer: [Query: /*trap*/]
      - client: { Query: /*deny*/ }
        expect: deny
`,
    ],
  ]
  test.each(steps)('%s', async (_title, text) => expect(await wrong(verdicts, text)).toEqual([]))

  test('deny in a pipeline, where the error comes in the place of the server’s', async () => {
    expect(
      await wrong(
        verdicts,
        `      - client: [Query: select 1, Query: /*deny*/]
        expect: { verdict: [continue, deny] }
      - server: [CommandComplete: SELECT 1, ReadyForQuery: I]
        expect: { toClient: [CommandComplete: SELECT 1, ReadyForQuery: I] }
`,
      ),
    ).toEqual([])
  })

  test('route, before the login or between transactions, to blocks that there are', async () => {
    const head = `${PATIENT}blocks: [replica]\nconfig: { opening: route }\n`
    const opens = '      - hook: onOpening\n        expect: { verdict: { route: replica } }\n'
    expect(await wrong(verdicts, opens, head)).toEqual([])
    const late = '      - client: { Query: /*route*/ }\n        expect: { verdict: route }\n'
    expect(await wrong(verdicts, late)).toEqual([])
    const busy = '      - client: [Query: begin, Query: /*route*/]\n'
    expect(await wrong(verdicts, busy)).toEqual([
      '1 client Query, Query: onTrafficFromClient: a session that is logged in can be routed ' +
        'only between two transactions',
    ])
  })

  test('merge, of hooks that change settings', async () => {
    const head = `${PATIENT}config: { merge: { "servers.default.address": "x" } }\n`
    const steps = `      - hook: { onConfigLoaded: { a: 1 } }
        expect: { verdict: { merge: { servers.default.address: x } } }
`
    expect(await wrong(verdicts, steps, head)).toEqual([])
  })
})

describe('what else a plugin does is seen', () => {
  test('by observers: their lines, in order', async () => {
    const steps = `      - hook: onOpening
        expect: { verdict: continue }
      - client: { Query: x }
        expect: { log: [{ level: info, message: toServer, fields: { told: { matches: x } } }] }
      - hook: { onClosed: { error: gone } }
        expect: { log: [{ message: closed, fields: { told: { matches: '"error":"gone"' } } }] }
      - hook: { onBooted: { status: "0" } }
        expect: { log: [booted] }
`
    expect(await wrong(verdicts, steps)).toEqual([])
  })

  test('metrics, lines and the store, each case with an empty one', async () => {
    const text = `${PATIENT}cases:
  - name: first
    steps: &steps
      - client: { Query: drop table t }
        expect:
          verdict: deny
          metrics: { 'words_refused_total{word="drop"}': 1 }
          kv: { refused: 1 }
          log: [{ level: warn, message: refused for the word drop }]
      - client: { Query: select 1 }
        expect: { verdict: continue, metrics: none, kv: none, log: none, signals: none }
  - name: second
    steps: *steps
`
    const found = await outcomes(modulePath('words-assembly'), text)
    expect(found.map(({ name, failures }) => ({ name, failures }))).toEqual([
      { name: 'first', failures: [] },
      { name: 'second', failures: [] },
    ])
  })

  test('what a session is told is what its connection says', async () => {
    const path = await fileOf(
      assemble(
        describing(
          manifestOf({ hooks: [{ name: 'onTrafficFromClient', messages: ['Query'] }] }),
          `(func (export "postern_alloc") (param i32) (result i32) (i32.const 65536))
           (func (export "on_traffic_from_client") (param i32 i32) (result i32)
             (call $log (i32.const 2) (i32.const 8192)
               (call $connection (i32.const 8192) (i32.const 4096)))
             (i32.const 0))`,
        ).replace(
          '(memory',
          `(import "postern" "connection" (func $connection (param i32 i32) (result i32)))
           (import "postern" "log" (func $log (param i32 i32 i32)))
           (memory`,
        ),
      ),
    )
    const head = `${PATIENT}connection: { user: ann, database: shop, applicationName: psql,
  client: "192.0.2.7:5" }\nconnections: { other: { user: bob } }\n`
    const steps = `      - client: { Query: x }
        expect: { log: [{ fields: { user: ann, database: shop, applicationName: psql,
          protocol: postgres, client: { remote: "192.0.2.7:5" } } }] }
      - on: other
        client: { Query: x }
        expect: { log: [{ fields: { user: bob, database: bob } }] }
`
    expect(await wrong(path, steps, head)).toEqual([])
  })
})

describe('time', () => {
  let path: string
  beforeAll(async () => {
    const manifest = manifestOf({
      hooks: [{ name: 'onTick' }],
      metrics: [{ name: 'seen_at', type: 'gauge', help: '', labels: [] }],
    })
    const text = describing(
      manifest,
      `(func (export "postern_alloc") (param i32) (result i32) (i32.const 65536))
       (func (export "on_tick") (param i32 i32) (result i32)
         (call $metric (i32.const 0) (call $now) (i32.const 0) (i32.const 0))
         (drop (call $set (i32.const 8) (i32.const 1) (i32.const 8) (i32.const 1)
           (i32.const 1000)))
         (i32.const 0))
       (data (i32.const 8) "k")`,
    ).replace(
      '(memory',
      `(import "postern" "now_ms" (func $now (result f64)))
       (import "postern" "metric" (func $metric (param i32 f64 i32 i32)))
       (import "postern" "kv_set" (func $set (param i32 i32 i32 i32 i32) (result i32)))
       (memory`,
    )
    path = await fileOf(assemble(text))
  })

  test('stands still until a step moves it, and what is kept for a time ends with it', async () => {
    const steps = `      - hook: onTick
        expect: { metrics: { seen_at: 1767225600000 }, kv: { k: k } }
      - hook: { onTick: { connections: 1 } }
        expect: { metrics: { seen_at: 1767225600000 }, kv: none }
      - wait: 999ms
        expect: { kv: none }
      - wait: 1ms
        expect: { kv: { k: { deleted: true } } }
      - now: 2027-01-01T00:00:00Z
      - hook: onTick
        expect: { metrics: { seen_at: 1798761600000 }, kv: { k: k } }
`
    expect(await wrong(path, steps)).toEqual([])
  })
})

describe('a case fails', () => {
  test('where something is not as expected, with the difference', async () => {
    const steps = `      - client: { Query: /*deny*/ }
        expect: { verdict: continue, toServer: [Query: /*deny*/], log: [x], metrics: { m: 1 } }
`
    expect(await wrong(verdicts, steps)).toEqual([
      '1 client Query: verdict',
      '- continue',
      '+ deny: { code: 42501, message: denied by verdicts, detail: a marker said so, ' +
        'hint: leave it out }',
      '1 client Query: log',
      '- x',
      '+ none',
      '1 client Query: toServer',
      '- Query: /*deny*/',
      '+ none',
      '1 client Query: metrics',
      '- m: 1',
      '+ none',
    ])
  })

  test('where the plugin is not asked, though it should be', async () => {
    expect(await wrong(verdicts, '      - client: Sync\n        expect: continue\n')).toEqual([
      '1 client Sync: the plugin was not asked; its manifest asks for onTrafficFromClient of ' +
        'Query, Parse and onTrafficFromServer of DataRow',
      '1 client Sync: verdict',
      '- continue',
      '+ none',
    ])
  })

  test('where the plugin traps, even where nothing is expected', async () => {
    const [line] = await wrong(verdicts, '      - client: { Query: /*trap*/ }\n')
    expect(line).toStartWith('1 client Query: onTrafficFromClient: trapped (')
  })

  test('where the plugin returns what is none', async () => {
    expect(await wrong(verdicts, '      - client: { Query: /*seven*/ }\n')).toEqual([
      '1 client Query: onTrafficFromClient: returned 7, which is no verdict',
    ])
  })

  test('where an observer fails', async () => {
    const head = `${PATIENT}config: { observer: deny }\n`
    expect(await wrong(verdicts, '      - hook: onClosed\n', head)).toEqual([
      '1 hook onClosed: before the step: onOpened: returned verdict 3, but an observer has none',
      '1 hook onClosed: onClosed: returned verdict 3, but an observer has none',
    ])
  })

  test('where the plugin loops without end', async () => {
    const path = await fileOf(
      assemble(
        describing(
          manifestOf({ hooks: [{ name: 'onTrafficFromClient' }] }),
          `(func (export "postern_alloc") (param i32) (result i32) (i32.const 65536))
           (func (export "on_traffic_from_client") (param i32 i32) (result i32)
             (loop $for_ever (br $for_ever)) (i32.const 0))`,
        ),
      ),
    )
    const steps = '      - client: { StartupMessage: { user: ann } }\n'
    const [line] = await wrong(path, steps, 'limits: { callDeadline: 5ms }\n')
    expect(line).toContain('trapped (deadline): it ran for')
  })

  test('where the plugin does not start', async () => {
    const steps = '      - client: Sync\n'
    const [line] = await wrong(verdicts, steps, 'config: { unknown: 1 }\n')
    expect(line).toContain('0 start: the plugin does not start: ')
    expect(line).toContain('unknown')
  })

  test('where a step sends what ends the session, or sends after its end', async () => {
    const steps = `      - client: { hex: ff00000004 }
      - client: { Query: x }
`
    const lines = await wrong(verdicts, steps)
    expect(lines[0]).toStartWith('1 client hex: a gateway would end the session: ')
    expect(lines[1]).toStartWith('2 client Query: nothing can be sent: ')
  })

  test('where a hook is called that the plugin does not have', async () => {
    const [line] = await wrong(verdicts, '      - hook: onTick\n')
    expect(line).toStartWith('1 hook onTick: the plugin has no onTick; it has onTrafficFromClient')
  })
})
