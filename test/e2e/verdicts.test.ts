/**
 * What a plugin of any runtime decides about a client's statement, in every state of the session
 * and every way of sending it: replies, order and transaction status must be PostgreSQL's own.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { Client } from 'pg'
import { describe as ask, bind, execute, parse, query, sync } from '../kit/frontend.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import {
  bringTo,
  buildPlugins,
  type Entry,
  entryOf,
  exchange,
  HAS_GO,
  isUsable,
  login,
  readToEnd,
  refusalText,
  STATUSES,
  type Status,
  scripted,
  spokenDirectly,
  startWith,
  stepFailures,
} from './plugins-scene.ts'

/** One plugin, and what its own words are. */
interface Speaker {
  readonly entry: () => Entry
  readonly plugin: string
  /** Its refusal, and its answer without ReadyForQuery, as texts. */
  readonly refusal: string
  readonly answer: readonly string[]
  /** The last words before it closes, and the mark that brings them about. */
  readonly lastWords: readonly [mark: string, words: string] | null
  readonly routes: boolean
  readonly isThere: boolean
}

const WASM = {
  refusal: 'ERROR 42501 denied by verdicts | a marker said so | leave it out',
  answer: ['RESPONDED'],
  lastWords: ['close-words', 'FATAL 57P01 closed by verdicts | - | -'],
  routes: true,
  isThere: true,
} as const
const GRPC = {
  refusal: 'ERROR 42000 Request terminated | Policy terminated the request | -',
  answer: ['RowDescription', 'row from the plugin', 'SELECT 1'],
  lastWords: ['refuse', 'ERROR 28000 refused by the plugin | - | -'],
  routes: true,
  isThere: true,
} as const

const SPEAKERS: Readonly<Record<string, Speaker>> = {
  'WASM (direct)': { ...WASM, plugin: 'verdicts', entry: () => entryOf('verdicts.wasm') },
  'WASM (PDK)': { ...WASM, plugin: 'verdicts-pdk', entry: () => entryOf('verdicts-pdk.wasm') },
  'gRPC (TypeScript)': { ...GRPC, plugin: 'scripted', entry: () => scripted() },
  'gRPC (Go)': {
    ...GRPC,
    plugin: 'echo-go',
    entry: () => entryOf('echo-go'),
    lastWords: null,
    routes: false,
    isThere: HAS_GO,
  },
}

/** What the server itself fails with, where the plugin's refusal stands in its place. */
const ORACLE = 'oracle_fail'
const PARTS = [bind(), ask(), execute()]

interface Way {
  /** Everything before the statement in question, the statement, and everything behind it. */
  readonly before: readonly Uint8Array[]
  readonly statement: (sql: string) => readonly Uint8Array[]
  readonly after: readonly Uint8Array[]
  /** What of `after` is left where the statement fails or is answered: not the rest up to Sync. */
  readonly afterFailure: readonly Uint8Array[]
  /** ReadyForQuery messages in the reply to `before`, and in the whole. */
  readonly repliesBefore: number
  readonly replies: number
}

const WAYS: Readonly<Record<string, Way>> = {
  'as a simple query': {
    before: [],
    statement: (sql) => [query(sql)],
    after: [],
    afterFailure: [],
    repliesBefore: 0,
    replies: 1,
  },
  'as an extended query': {
    before: [],
    statement: (sql) => [parse({ sql }), ...PARTS, sync()],
    after: [],
    afterFailure: [],
    repliesBefore: 0,
    replies: 1,
  },
  'in a pipeline': {
    before: [query('select 10')],
    statement: (sql) => [parse({ sql }), ...PARTS],
    after: [parse({ sql: 'select 20' }), ...PARTS, sync(), query('select 30')],
    afterFailure: [query('select 30')],
    repliesBefore: 1,
    replies: 3,
  },
}

let postgres: PostgresServer
const gateways = new Map<string, RunningGateway>()

beforeAll(async () => {
  await buildPlugins()
  postgres = await startPostgres()
  for (const [name, { entry, isThere }] of Object.entries(SPEAKERS)) {
    if (isThere) gateways.set(name, await startWith(postgres, { plugins: [entry()] }))
  }
}, 120_000)
afterAll(async () => {
  for (const gateway of gateways.values()) await gateway.stop()
  await postgres.stop()
})

interface Cell {
  readonly runtime: string
  readonly speaker: Speaker
  readonly status: Status
  readonly way: Way
}

/** A session of the cell's runtime, brought where it must stand. */
async function sessionOf({ runtime, status }: Cell) {
  const wire = await login(gateways.get(runtime)!, postgres)
  await bringTo(wire, status)
  return wire
}

const direct = (status: Status, messages: readonly Uint8Array[], replies: number) =>
  spokenDirectly(postgres, status, messages, replies)

/** The statement goes on, as it came or as it was rewritten: `sql` is what the server must get. */
async function passes(cell: Cell, marked: string, sql: string): Promise<void> {
  const { status, way } = cell
  using wire = await sessionOf(cell)
  const all = (text: string) => [...way.before, ...way.statement(text), ...way.after]
  expect(await exchange(wire, all(marked), way.replies)).toEqual(
    await direct(status, all(sql), way.replies),
  )
  expect(await isUsable(wire)).toBeTrue()
}

async function refuses(cell: Cell): Promise<void> {
  const { status, way, speaker } = cell
  using wire = await sessionOf(cell)
  const all = (text: string) => [...way.before, ...way.statement(text), ...way.after]
  const own = await direct(status, all(ORACLE), way.replies)
  const expected = own.map((said) => (said.includes(ORACLE) ? speaker.refusal : said))
  expect(expected).toContain(speaker.refusal)
  expect(await exchange(wire, all('select 1 /*deny*/'), way.replies)).toEqual(expected)
  expect(await isUsable(wire)).toBeTrue()
}

async function responds(cell: Cell): Promise<void> {
  const { status, way, speaker } = cell
  using wire = await sessionOf(cell)
  const all = [...way.before, ...way.statement('select 1 /*respond*/'), ...way.after]
  const expected = [
    ...(await direct(status, way.before, way.repliesBefore)),
    ...speaker.answer,
    `ready ${status}`,
    ...(await direct(status, way.afterFailure, way.afterFailure.length)),
  ]
  expect(await exchange(wire, all, way.replies)).toEqual(expected)
  expect(await isUsable(wire)).toBeTrue()
}

/**
 * Bare, and with last words, which then are the last. It closes at once, so that of the replies
 * owed to statements before it some or none may come; the server must not get the statement.
 */
async function closes(cell: Cell): Promise<void> {
  const { status, way, speaker } = cell
  const marks: (readonly [string, string | null])[] = [['close', null]]
  if (speaker.lastWords !== null) marks.push(speaker.lastWords)
  for (const [mark, words] of marks) {
    using wire = await sessionOf(cell)
    const sql = `select 'not to be run' /*${mark}*/`
    wire.send(...way.before, ...way.statement(sql), ...way.after)
    const read = await readToEnd(wire)
    if (words !== null) expect(read.pop()).toBe(words)
    const before = await direct(status, way.before, way.repliesBefore)
    expect(read).toEqual(before.slice(0, read.length))
  }
}

/** Once logged in, a session cannot be routed: the step has failed, and is open to failure. */
async function routesNot(cell: Cell): Promise<void> {
  const { runtime, speaker } = cell
  const gateway = gateways.get(runtime)!
  const before = await stepFailures(gateway, speaker.plugin)
  await passes(cell, 'select 5 /*route*/', 'select 5')
  expect(await stepFailures(gateway, speaker.plugin)).toBe(before + 1)
}

type Verdict = readonly [title: string, prove: (cell: Cell) => Promise<void>]

const VERDICTS: readonly Verdict[] = [
  ['continue passes', (cell) => passes(cell, 'select 1', 'select 1')],
  ['replace changes', (cell) => passes(cell, "select 'original' /*replace*/", "select 'replaced'")],
  ['deny refuses', refuses],
  ['respond answers', responds],
  ['close ends', closes],
  ['route fails open at', routesNot],
]

for (const [runtime, speaker] of Object.entries(SPEAKERS)) {
  if (!speaker.isThere) continue
  describe(runtime, () => {
    const verdicts = VERDICTS.filter(([, prove]) => speaker.routes || prove !== routesNot)
    for (const [title, prove] of verdicts) {
      for (const [wayName, way] of Object.entries(WAYS)) {
        for (const status of ['I', 'T', 'E'] as const) {
          const place = `a statement ${wayName}, ${STATUSES[status]}`
          const name = `${title} ${place}`
          test(name, () => prove({ runtime, speaker, status, way }))
        }
      }
    }
    test(`a driver sees a refusal and goes on`, () => driverGoesOn(runtime, speaker))
  })
}

test.skipIf(!HAS_GO)('a plugin on the library of GatewayD’s own is among them (needs go)', () => {
  expect(gateways.has('gRPC (Go)')).toBeTrue()
})

test('last words never cut a message in two: where one is under way, there are none', async () => {
  // Without a step on the way back, a row passes as it comes, and not only when it is whole.
  await using gateway = await startWith(postgres, { plugins: [scripted({ HOOKS: '16' })] })
  using wire = await login(gateway, postgres)
  let tail: Buffer = Buffer.alloc(0)
  wire.socket.on('data', (chunk: Buffer) => {
    tail = Buffer.concat([tail, chunk]).subarray(-200)
  })
  wire.send(query("select repeat('x', 100000000)"))
  await wire.expect('RowDescription')
  wire.send(query('select 1 /*refuse*/'))
  expect(await readToEnd(wire)).toEqual([])
  // What came last is a part of the row: words in it would have been taken for its text.
  expect(tail.toString('latin1')).toMatch(/^x+$/)
})

/** The `pg` driver, with simple and with extended queries, in and outside of a transaction. */
async function driverGoesOn(runtime: string, { refusal }: Speaker): Promise<void> {
  const { host, port } = gateways.get(runtime)!
  const { user, password, database } = postgres
  const client = new Client({ host, port, user, password, database })
  await client.connect()
  try {
    for (const values of [undefined, [7]]) {
      const sql = values === undefined ? 'select 7 /*deny*/' : 'select $1::int /*deny*/'
      for (const isInTransaction of [false, true]) {
        if (isInTransaction) await client.query('begin')
        const { severity, code, message, detail, hint } = await refusedBy(client, sql, values)
        expect(
          refusalText({ severity, code, message, detail: detail ?? null, hint: hint ?? null }),
        ).toBe(refusal)
        if (isInTransaction) await client.query('rollback')
        expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }])
      }
    }
  } finally {
    await client.end()
  }
}

async function refusedBy(client: Client, sql: string, values: number[] | undefined) {
  try {
    await client.query(sql, values)
  } catch (thrown) {
    if (thrown instanceof Error && 'severity' in thrown) return fieldsOf({ ...thrown }, thrown)
    throw thrown
  }
  throw new Error(`${sql} was not refused`)
}

function fieldsOf(fields: Readonly<Record<string, unknown>>, { message }: Error) {
  const text = (key: string): string | undefined =>
    fields[key] === undefined ? undefined : String(fields[key])
  const { severity, code } = { severity: text('severity'), code: text('code') }
  const detail = text('detail')
  return { severity: severity ?? '', code: code ?? '', message, detail, hint: text('hint') }
}
