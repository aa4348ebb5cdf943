/** The rate-limit plugin: who is refused what and for how long, and that nothing breaks it. */
import { afterEach, describe, expect, setSystemTime, test } from 'bun:test'
import type { FromClientVerdict, OpeningVerdict } from '../../../src/hooks/verdict.ts'
import { DEFAULT_LIMITS } from '../../../src/plugins/limits.ts'
import type { Plugin } from '../../../src/plugins/plugin.ts'
import { createWasmPlugin } from '../../../src/plugins/wasm/plugin.ts'
import {
  carried,
  makeScene,
  makeSession,
  makeSpec,
  message,
  modulePath,
  query,
  type Scene,
} from '../../fixtures/wasm/kit.ts'
import { bind, concat, execute, parse, sync } from '../../kit/frontend.ts'

type Session = ReturnType<typeof makeSession>
type Config = Readonly<Record<string, unknown>>

const BEGAN_MS = Date.UTC(2030, 0, 1)
afterEach(() => setSystemTime())

interface Limited {
  readonly scene: Scene
  readonly plugin: Plugin
  /** What becomes of bytes of a client: "" where they pass, else the error. */
  send(bytes: Uint8Array | string, session?: Session): string
  open(session: Session): string
}

async function start(config: Config): Promise<Limited> {
  setSystemTime(new Date(BEGAN_MS))
  const scene = makeScene()
  const limits = { ...DEFAULT_LIMITS, callDeadlineMs: 5000, cpuShareMax: 100 }
  const spec = makeSpec(modulePath('rate-limit'), { limits, config, onFailure: 'closed' })
  const plugin = createWasmPlugin(spec, scene.surroundings)
  await plugin.start()
  const own = makeSession()
  return {
    scene,
    plugin,
    send(bytes, session = own) {
      const input = typeof bytes === 'string' ? query(bytes) : bytes
      return said(plugin.steps.onTrafficFromClient?.decide(session, input, carried()))
    },
    open: (session) => said(plugin.steps.onOpening?.decide(session)),
  }
}

function said(verdict: FromClientVerdict | OpeningVerdict | Promise<unknown> | undefined): string {
  if (verdict === undefined || verdict instanceof Promise) return 'no answer'
  if (verdict.kind === 'continue') return ''
  return verdict.kind === 'deny' ? `${verdict.code} ${verdict.message}` : JSON.stringify(verdict)
}

const later = (ms: number): void => void setSystemTime(new Date(Date.now() + ms))
const reads = { name: 'reads', kinds: ['SELECT'], rate: 1, burst: 2 }

describe('a bucket', () => {
  test('gives its burst at once, then so many a second, and says when to come back', async () => {
    const { send } = await start({ rules: [reads] })
    expect([send('select 1'), send('select 2')]).toEqual(['', ''])
    const refusal = '53400 too many statements: the rate limit "reads" is reached; try again in 1'
    expect(send('select 3')).toStartWith(`${refusal} second`)
    later(999)
    expect(send('select 3')).toStartWith(refusal)
    later(1)
    expect(send('select 3')).toBe('')
    expect(send('select 4')).toStartWith(refusal)
    later(60_000)
    expect([send('select 1'), send('select 2'), send('select 3') !== '']).toEqual(['', '', true])
  })

  test('of less than one a second says how many seconds it takes, rounded up', async () => {
    const { send } = await start({ rules: [{ ...reads, rate: 0.4, burst: 1 }] })
    send('select 1')
    expect(send('select 1')).toEndWith('try again in 3 seconds')
    later(1600)
    expect(send('select 1')).toEndWith('try again in 1 second')
  })

  test('gains nothing from a clock that is set back, and goes on from there', async () => {
    const { send } = await start({ rules: [{ ...reads, burst: 1 }] })
    send('select 1')
    later(-3_600_000)
    expect(send('select 1')).toContain('try again in 1 second')
    later(1000)
    expect(send('select 1')).toBe('')
  })

  test('is no more than full when the clock is set forward', async () => {
    const { send } = await start({ rules: [reads] })
    send('select 1')
    later(1e9)
    expect([1, 2, 3].map(() => send('select 1') === '')).toEqual([true, true, false])
  })
})

describe('a rule', () => {
  const of = (fields: Parameters<typeof makeSession>[0], id: string): Session =>
    makeSession({ id, ...fields })

  test('has a bucket for each name it is by', async () => {
    const address = (remote: string) => ({ client: { local: '', remote } })
    for (const [per, one, same, other] of [
      [['user'], { user: 'a' }, { user: 'a', database: 'x' }, { user: 'b' }],
      [['database'], { database: 'a' }, { database: 'a', user: 'x' }, { database: 'b' }],
      [['address'], address('10.0.0.1:5'), address('10.0.0.1:6'), address('10.0.0.2:5')],
      [['address'], address('[::1]:5'), address('[::1]:6'), address('[::2]:5')],
    ] as const) {
      const { send } = await start({ rules: [{ ...reads, per, burst: 1 }] })
      expect(send('select 1', of(one, '1'))).toBe('')
      expect(send('select 1', of(same, '2'))).not.toBe('')
      expect(send('select 1', of(other, '3'))).toBe('')
    }
  })

  test('by nothing has one bucket for all', async () => {
    const { send } = await start({ rules: [{ ...reads, per: [], burst: 1 }] })
    expect(send('select 1', of({ user: 'a' }, '1'))).toBe('')
    expect(send('select 1', of({ user: 'b' }, '2'))).not.toBe('')
  })

  test('concerns the users and databases that it names, and not those it excepts', async () => {
    const rule = { ...reads, users: ['app_*', 'bob'], exceptUsers: ['*_admin'], burst: 1 }
    const { send } = await start({ rules: [{ ...rule, databases: ['shop'] }] })
    const isLimited = (user: string, database: string): boolean => {
      const session = of({ user, database }, `${user} ${database}`)
      return ['select 1', 'select 1'].map((sql) => send(sql, session)).join('') !== ''
    }
    expect(isLimited('APP_one', 'shop')).toBe(true)
    expect(isLimited('bob', 'shop')).toBe(true)
    expect(isLimited('bobby', 'shop')).toBe(false)
    expect(isLimited('app_admin', 'shop')).toBe(false)
    expect(isLimited('bob', 'other')).toBe(false)
  })

  test('counts kinds by verb or purpose', async () => {
    const cases: readonly (readonly [readonly string[], string, boolean])[] = [
      [['SELECT'], 'insert into t values (1)', false],
      [['writing'], 'with x as (select 1) delete from t', true],
      [['writing'], 'copy t from stdin', true],
      [['writing'], 'copy t to stdout', false],
      [['defining', 'DO'], 'create table t ()', true],
      [['defining', 'DO'], 'do $$ begin end $$', true],
      [['OTHER'], 'frobnicate', true],
    ]
    for (const [kinds, sql, isLimited] of cases) {
      const { send } = await start({ rules: [{ ...reads, kinds, burst: 1 }] })
      send(sql)
      expect([sql, send(sql) !== '']).toEqual([sql, isLimited])
    }
  })

  test('of all kinds lets transactions begin and end', async () => {
    const { send } = await start({ rules: [{ name: 'all', rate: 1, burst: 1 }] })
    expect(send('begin; select 1; commit')).toBe('')
    expect(send('select 1')).not.toBe('')
    expect(send('commit; begin; rollback to savepoint x; end')).toBe('')
  })

  test('never refuses the end of a transaction, even where it names that', async () => {
    const { send } = await start({ rules: [{ ...reads, kinds: ['transacting'], burst: 1 }] })
    send('begin')
    expect(send('begin')).not.toBe('')
    for (const sql of ['commit', 'rollback', 'end', 'abort', 'release s'])
      expect(send(sql)).toBe('')
  })

  test('that counts refuses nothing and says what it would have', async () => {
    const { scene, send } = await start({ rules: [{ ...reads, action: 'count', burst: 1 }] })
    expect([send('select 1'), send('select 1')]).toEqual(['', ''])
    expect(scene.recorded).toEqual([{ id: 0, value: 1, labels: ['reads', 'counted'] }])
  })

  test('that refuses costs nothing in the others', async () => {
    const { send } = await start({
      rules: [
        { name: 'wide', rate: 1, burst: 3 },
        { name: 'narrow', kinds: ['INSERT'], rate: 1, burst: 1 },
      ],
    })
    expect(send('insert into t values (1)')).toBe('')
    for (let times = 0; times < 5; times++) expect(send('insert into t values (1)')).not.toBe('')
    expect([send('select 1'), send('select 1'), send('select 1') !== '']).toEqual(['', '', true])
  })
})

describe('messages', () => {
  test('of several statements count each, and are refused whole', async () => {
    const { send } = await start({ rules: [{ ...reads, burst: 3 }] })
    expect(send('select 1; select 2')).toBe('')
    expect(send('select 3; select 4')).not.toBe('')
  })

  test('of the extended protocol count a Bind as its Parse has said', async () => {
    const { send } = await start({ rules: [{ ...reads, burst: 2 }] })
    const run = (name: string) => concat(bind({ statement: name }), execute(), sync())
    const prepare = (name: string, sql: string) => concat(parse({ name, sql }), sync())
    for (let times = 0; times < 5; times++) expect(send(prepare('r', 'select 1'))).toBe('')
    expect(send(prepare('w', 'insert into t values (1)'))).toBe('')
    expect([send(run('r')), send(run('r'))]).toEqual(['', ''])
    expect(send(run('r'))).not.toBe('')
    expect(send(run('w'))).toBe('')
    // One that nobody has prepared here may be anything.
    expect(send(run('unknown'))).not.toBe('')
  })

  test('of any bytes neither trap nor pass as something else', async () => {
    const { plugin, send } = await start({ rules: [{ ...reads, burst: 1 }] })
    const whole = concat(
      parse({ name: 'r', sql: 'select $1' }),
      bind({ statement: 'r', values: ['x'] }),
      execute(),
      sync(),
    )
    for (let end = 0; end <= whole.length; end++) send(whole.subarray(0, end))
    for (const tag of 'QPBDECHSF') {
      for (const body of ['', '\0', '\xff\xfe', 'x'.repeat(70_000)]) send(message(tag, body))
    }
    send(query(`select '${'x'.repeat(10_000_000)}'`))
    send(query('('.repeat(10_000_000)))
    send(query('select 1;'.repeat(1_000_000)))
    expect(plugin.status().state).toBe('ready')
    expect(plugin.status().failures).toBe(0)
  })
})

describe('connections', () => {
  test('of one address are so many a second, others are not concerned', async () => {
    const { open, scene } = await start({ connections: { rate: 0.5, burst: 2 } })
    const from = (remote: string) => makeSession({ user: '', client: { local: '', remote } })
    expect([open(from('10.0.0.1:1')), open(from('10.0.0.1:2'))]).toEqual(['', ''])
    expect(open(from('10.0.0.1:3'))).toBe(
      '53400 too many connections: the rate limit "connections" is reached; try again in 2 seconds',
    )
    expect(open(from('10.0.0.2:1'))).toBe('')
    expect(scene.recorded.at(-1)).toEqual({ id: 1, value: 1, labels: [] })
  })

  test('are not limited without a rule', async () => {
    const { open } = await start({})
    for (let times = 0; times < 1000; times++) expect(open(makeSession())).toBe('')
  })
})

describe('without configuration', () => {
  test('nothing is refused, and the busiest second is told', async () => {
    const { scene, send } = await start({})
    for (let times = 0; times < 500; times++) expect(send('select 1')).toBe('')
    later(1000)
    send('select 1')
    expect(scene.recorded).toEqual(
      ['user', 'address', 'database'].map((rule) => ({ id: 2, value: 500, labels: [rule] })),
    )
  })
})

test('more names than buckets cost no memory, and the evictions are counted', async () => {
  const rules = [{ ...reads, per: ['address'], burst: 1 }]
  const { plugin, scene, send } = await start({ rules, bucketsMax: 64 })
  const from = (host: number): Session =>
    makeSession({ client: { local: '', remote: `10.0.${host >> 8}.${host & 255}:1` } })
  const round = (): void => {
    for (let host = 0; host < 2000; host++) {
      const session = from(host)
      send('select 1', session)
      plugin.steps.observers.onClosed?.tell({ session, bytes: null, request: null, params: {} })
    }
  }
  round()
  const before = plugin.sandbox?.memoryBytes
  round()
  expect(plugin.sandbox?.memoryBytes).toBe(before)
  expect(scene.recorded.filter(({ id }) => id === 3).length).toBeGreaterThan(1900)
})

test('a kind that does not exist is refused at the start, by its name', async () => {
  const starting = start({ rules: [{ ...reads, kinds: ['SELEKT'] }] })
  await expect(starting).rejects.toThrow(/config\.rules\[0\]\.kinds\[0\]/)
})
