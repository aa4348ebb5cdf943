/**
 * What a plugin of any runtime decides about a server's reply: the client is told no more than it
 * may know, and both sides agree on where the session stands.
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
  STATUSES,
  type Status,
  scripted,
  startWith,
  stepFailures,
} from './plugins-scene.ts'

/** Expressions that only the server puts together, so that the statement itself bears no mark. */
interface Expressions {
  readonly deny: string
  readonly close: string
  readonly fail: string
  /** The expression, and the value that comes in the place of its own. */
  readonly replace: readonly [expression: string, value: string]
}

interface Speaker {
  readonly entry: () => Entry
  readonly plugin: string
  readonly refusal: string
  readonly expressions: Expressions
  /** True where a refusal takes the place of the whole reply, false where of the row alone. */
  readonly judgesReplies: boolean
  readonly isThere: boolean
}

const WASM = {
  refusal: 'ERROR 42501 denied by verdicts | a marker said so | leave it out',
  expressions: {
    deny: "'/*de' || 'ny*/'",
    close: "'/*clo' || 'se*/'",
    fail: "'/*res' || 'pond*/'",
    replace: ["'a sec' || 'ret'", 'a ******'],
  },
  judgesReplies: false,
  isThere: true,
} as const
const GRPC = {
  refusal: 'ERROR 42000 Request terminated | Policy terminated the request | -',
  expressions: {
    deny: "'deny' || ' reply'",
    close: "'close' || ' reply'",
    fail: "'fail' || ' reply'",
    replace: ["'rewrite' || ' me'", 'rewritten!'],
  },
  judgesReplies: true,
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
    isThere: HAS_GO,
  },
}

interface Way {
  readonly messages: (sql: string) => readonly Uint8Array[]
  readonly replies: number
  /** Messages of the reply before the row of the statement, and behind its ReadyForQuery. */
  readonly before: readonly string[]
  readonly after: readonly string[]
}

const rowsOf = (value: string): string[] => ['RowDescription', `row ${value}`, 'SELECT 1']
const EXTENDED = ['ParseComplete', 'BindComplete', 'RowDescription']
const PARTS = [bind(), ask(), execute()]

const WAYS: Readonly<Record<string, Way>> = {
  'as a simple query': {
    messages: (sql) => [query(sql)],
    replies: 1,
    before: ['RowDescription'],
    after: [],
  },
  'as an extended query': {
    messages: (sql) => [parse({ sql }), ...PARTS, sync()],
    replies: 1,
    before: EXTENDED,
    after: [],
  },
  // The statement behind it in the same pipeline is run, and its reply dropped with the refused.
  'in a pipeline': {
    messages: (sql) => [
      query('select 10'),
      parse({ sql }),
      ...PARTS,
      parse({ sql: 'select 20' }),
      ...PARTS,
      sync(),
      query('select 30'),
    ],
    replies: 3,
    before: EXTENDED,
    after: rowsOf('30'),
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

/** A failed transaction gives no rows: there the statement first leaves it. */
function statementOf({ status }: Cell, expression: string): string {
  return `${status === 'E' ? 'rollback; ' : ''}select ${expression}`
}

async function sessionOf({ runtime, status }: Cell) {
  const wire = await login(gateways.get(runtime)!, postgres)
  await bringTo(wire, status)
  return wire
}

async function direct(cell: Cell, sql: string): Promise<string[]> {
  using wire = await login(postgres, postgres)
  await bringTo(wire, cell.status)
  return await exchange(wire, cell.way.messages(sql), cell.way.replies)
}

async function passes(cell: Cell, expression: string, value: string): Promise<void> {
  using wire = await sessionOf(cell)
  const { messages, replies } = cell.way
  const read = await exchange(wire, messages(statementOf(cell, expression)), replies)
  expect(read).toEqual(await direct(cell, statementOf(cell, `'${value}'`)))
  expect(read).toContain(`row ${value}`)
  expect(await isUsable(wire)).toBeTrue()
}

async function refuses(cell: Cell): Promise<void> {
  const { way, status, speaker } = cell
  using wire = await sessionOf(cell)
  const sql = statementOf(cell, speaker.expressions.deny)
  const read = await exchange(wire, way.messages(sql), way.replies)
  // The statement itself went well, and only its reply was refused.
  const ready = `ready ${status === 'T' ? 'T' : 'I'}`
  const first = way.replies === 1 ? [] : [...rowsOf('10'), ready]
  const rolledBack = status === 'E' ? ['ROLLBACK'] : []
  const begun = speaker.judgesReplies ? [] : [...rolledBack, ...way.before]
  const behind = way.after.length === 0 ? [] : [...way.after, ready]
  expect(read).toEqual([...first, ...begun, speaker.refusal, ready, ...behind])
  expect(await isUsable(wire)).toBeTrue()
}

async function closes(cell: Cell): Promise<void> {
  using wire = await sessionOf(cell)
  wire.send(...cell.way.messages(statementOf(cell, cell.speaker.expressions.close)))
  const read = await readToEnd(wire)
  expect(read.filter((said) => said.startsWith('row ') && said !== 'row 10')).toEqual([])
}

/** The step fails and is open to failure: what it could not judge goes on. */
async function failsOpen(cell: Cell): Promise<void> {
  const { runtime, speaker } = cell
  const gateway = gateways.get(runtime)!
  const before = await stepFailures(gateway, speaker.plugin, 'onTrafficFromServer')
  const value = speaker.expressions.fail.replaceAll("' || '", '').slice(1, -1)
  await passes(cell, speaker.expressions.fail, value)
  const after = await stepFailures(gateway, speaker.plugin, 'onTrafficFromServer')
  expect(after).toBe(before + 1)
}

type Verdict = readonly [title: string, prove: (cell: Cell) => Promise<void>]

const VERDICTS: readonly Verdict[] = [
  ['continue passes', (cell) => passes(cell, "'as it ' || 'is'", 'as it is')],
  ['replace changes', (cell) => passes(cell, ...cell.speaker.expressions.replace)],
  ['deny refuses', refuses],
  ['close ends', closes],
  ['an unusable answer lets pass', failsOpen],
]

for (const [runtime, speaker] of Object.entries(SPEAKERS)) {
  if (!speaker.isThere) continue
  describe(runtime, () => {
    const provable = runtime === 'gRPC (Go)' ? VERDICTS.slice(0, -1) : VERDICTS
    for (const [title, prove] of provable) {
      for (const [wayName, way] of Object.entries(WAYS)) {
        const statuses: readonly Status[] =
          way === WAYS['as a simple query'] ? ['I', 'T', 'E'] : ['I', 'T']
        for (const status of statuses) {
          const name = `${title} a reply to a statement ${wayName}, ${STATUSES[status]}`
          test(name, () => prove({ runtime, speaker, status, way }))
        }
      }
    }

    test(`a reply is refused once, whatever is left of it`, async () => {
      using wire = await login(gateways.get(runtime)!, postgres)
      const { deny } = speaker.expressions
      const rest = `select ${deny} from generate_series(1, 3); select 2; select ${deny}`
      const read = await exchange(wire, [query(rest)], 1)
      const begun = speaker.judgesReplies ? [] : ['RowDescription']
      expect(read).toEqual([...begun, speaker.refusal, 'ready I'])
      expect(await isUsable(wire)).toBeTrue()
    })

    test(`a copy that a refused reply asks for is ended`, async () => {
      using wire = await login(gateways.get(runtime)!, postgres)
      await wire.query('create temp table copied (word text)')
      const sql = `select ${speaker.expressions.deny}; copy copied from stdin`
      const read = await exchange(wire, [query(sql)], 1)
      expect(read.slice(-2)).toEqual([speaker.refusal, 'ready I'])
      expect(await wire.rows('select count(*) from copied')).toEqual([['0']])
      expect(await isUsable(wire)).toBeTrue()
    })

    test(`a driver sees a refused reply and goes on`, async () => {
      const { host, port } = gateways.get(runtime)!
      const { user, password, database } = postgres
      const client = new Client({ host, port, user, password, database })
      await client.connect()
      try {
        const sql = `select ${speaker.expressions.deny}`
        const code = speaker.refusal.split(' ')[1]
        await expect(client.query(sql)).rejects.toMatchObject({ code })
        await expect(client.query({ text: sql, values: [] })).rejects.toMatchObject({ code })
        expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }])
      } finally {
        await client.end()
      }
    })
  })
}

test.skipIf(!HAS_GO)('a plugin on the library of GatewayD’s own is among them (needs go)', () => {
  expect(gateways.has('gRPC (Go)')).toBeTrue()
})
