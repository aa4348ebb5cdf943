/** What a step decides about a client's messages, in every state of a session of PostgreSQL. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { CONTINUE, type TrafficVerdict } from '../../src/hooks/verdict.ts'
import { bind, concat, execute, extendedQuery, parse, query, sync } from '../kit/frontend.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { type FakeStep, type Service, startService } from '../kit/service.ts'
import { openSession, type Wire } from '../kit/wire.ts'
import { server as says, short } from '../protocols/postgres/stage.ts'

let postgres: PostgresServer
beforeAll(async () => {
  postgres = await startPostgres()
})
afterAll(() => postgres.stop())

const ROWS = concat(says.columns(), says.row(), says.complete('SELECT 1'))
const ERROR = says.error('22000', 'made up')

/** What a step says to a message with one of these words. */
const VERDICTS: Readonly<Record<string, TrafficVerdict>> = {
  '/*deny*/': { kind: 'deny', code: '42501', message: 'no', hint: 'ask' },
  '/*respond*/': { kind: 'respond', bytes: ROWS },
  '/*respond twice*/': { kind: 'respond', bytes: concat(says.ready(), says.ready()) },
  '/*respond error*/': { kind: 'respond', bytes: ERROR },
  '/*respond error, ready*/': { kind: 'respond', bytes: concat(ERROR, says.ready('E')) },
  '/*replace*/': { kind: 'replace', bytes: query("select 'other'") },
  '/*replace parse*/': { kind: 'replace', bytes: parse({ sql: "select 'other'" }) },
  '/*malformed*/': { kind: 'replace', bytes: query('select 2').slice(0, -1) },
  '/*route*/': { kind: 'route', block: 'writes1' },
  '/*fail*/': { kind: 'failure', cause: 'it fell' },
  '/*close*/': { kind: 'close' },
  '/*last words*/': { kind: 'close', bytes: ERROR },
}

function deciding(step: Partial<FakeStep> = {}): FakeStep {
  return {
    ...step,
    decide: (bytes) => {
      const said = Buffer.from(bytes).toString('latin1')
      return Object.entries(VERDICTS).find(([word]) => said.includes(word))?.[1] ?? CONTINUE
    },
  }
}

function slowed({ decide, ...step }: FakeStep): FakeStep {
  return { ...step, decide: async (bytes, session) => decide(bytes, session) }
}

async function openThrough(service: Service): Promise<Wire> {
  const { user, password, database } = postgres
  return openSession({ host: '127.0.0.1', port: service.port, user, password, database })
}

async function repliesTo(wire: Wire, replies: number, ...parts: readonly Uint8Array[]) {
  wire.send(...parts)
  const read: string[] = []
  for (let reply = 0; reply < replies; reply++) {
    read.push(...(await wire.readUntil('ReadyForQuery')).map(short))
  }
  return read
}

/** The session works, and its transaction, if any, is over. */
async function isSound(wire: Wire): Promise<void> {
  await wire.query('rollback')
  expect(await wire.rows("select 'sound'")).toEqual([['sound']])
}

interface State {
  /** What brings a session there. */
  readonly by: readonly string[]
  readonly status: string
  /** The status behind a refusal: a transaction fails by it. */
  readonly refused: string
}

const STATES: Readonly<Record<string, State>> = {
  idle: { by: [], status: 'I', refused: 'I' },
  'in a transaction': { by: ['begin'], status: 'T', refused: 'E' },
  'in a failed transaction': { by: ['begin', 'select 1/0'], status: 'E', refused: 'E' },
}
const WAYS: Readonly<Record<string, FakeStep>> = {
  'at once': deciding(),
  'after a promise': slowed(deciding()),
  'for a batch': deciding({ unit: 'batch' }),
  'for a batch, after a promise': slowed(deciding({ unit: 'batch' })),
}

for (const [way, step] of Object.entries(WAYS)) {
  describe(`decided ${way}`, () => {
    for (const [state, { by, status, refused }] of Object.entries(STATES)) {
      test(`a query is refused ${state}`, async () => {
        await using service = startService({ upstreams: [postgres.port], fromClient: [step] })
        using wire = await openThrough(service)
        for (const sql of by) await wire.query(sql)
        const refusal = ['ErrorResponse 42501', `ReadyForQuery ${refused}`]
        expect(await repliesTo(wire, 1, query('select 1 /*deny*/'))).toEqual(refusal)
        expect(await repliesTo(wire, 1, extendedQuery('select 1 /*deny*/'))).toEqual(refusal)
        await isSound(wire)
        expect(service.denials).toEqual(Array(2).fill('onTrafficFromClient'))
      })

      test(`a query is answered by a step ${state}`, async () => {
        await using service = startService({ upstreams: [postgres.port], fromClient: [step] })
        using wire = await openThrough(service)
        for (const sql of by) await wire.query(sql)
        const answer = ['RowDescription', 'DataRow ', 'CommandComplete SELECT 1']
        answer.push(`ReadyForQuery ${status}`)
        expect(await repliesTo(wire, 1, query('/*respond*/'))).toEqual(answer)
        const failed = ['ErrorResponse 22000', `ReadyForQuery ${status}`]
        for (const word of ['/*respond error*/', '/*respond error, ready*/']) {
          expect(await repliesTo(wire, 1, query(word))).toEqual(failed)
          expect(await repliesTo(wire, 1, extendedQuery(word))).toEqual(failed)
        }
        await isSound(wire)
        expect(service.failures).toEqual([])
      })

      test(`a query is replaced ${state}`, async () => {
        await using service = startService({ upstreams: [postgres.port], fromClient: [step] })
        using wire = await openThrough(service)
        for (const sql of by) await wire.query(sql)
        const rows = await repliesTo(wire, 1, query('/*replace*/'))
        expect(rows).toContain(status === 'E' ? 'ErrorResponse 25P02' : 'DataRow other')
        await isSound(wire)
      })
    }

    test('pipelined messages are refused, answered and passed in their order', async () => {
      await using service = startService({ upstreams: [postgres.port], fromClient: [step] })
      using wire = await openThrough(service)
      const sent = [
        query("select 'one'"),
        query('/*deny*/'),
        query('/*respond error*/'),
        extendedQuery('/*deny*/'),
        extendedQuery("select 'two'"),
        query('/*deny*/'),
      ]
      const read = await repliesTo(wire, sent.length, ...sent)
      expect(read.filter((one) => /Error|DataRow/.test(one))).toEqual([
        'DataRow one',
        'ErrorResponse 42501',
        'ErrorResponse 22000',
        'ErrorResponse 42501',
        'DataRow two',
        'ErrorResponse 42501',
      ])
      await isSound(wire)
    })

    test('what a refused pipeline did before is rolled back with it', async () => {
      await using service = startService({ upstreams: [postgres.port], fromClient: [step] })
      using wire = await openThrough(service)
      await wire.query('create temp table t (i int)')
      for (const word of ['/*deny*/', '/*respond error*/']) {
        const insert = concat(parse({ sql: 'insert into t values (1)' }), bind(), execute())
        const refused = concat(parse({ sql: `select 1 ${word}` }), bind(), execute(), sync())
        const read = await repliesTo(wire, 1, insert, refused)
        expect(read.at(-1)).toBe('ReadyForQuery I')
        expect(await wire.rows('select count(*) from t')).toEqual([['0']])
      }
    })

    test('a client is closed, with last words or without', async () => {
      await using service = startService({ upstreams: [postgres.port], fromClient: [step] })
      using silent = await openThrough(service)
      silent.send(query('/*close*/'))
      await silent.closed()
      using told = await openThrough(service)
      told.send(query('/*last words*/'))
      expect(short(await told.read())).toBe('ErrorResponse 22000')
      await told.closed()
    })

    test('a failing step lets pass where open, and refuses with 58000 where closed', async () => {
      const closed: FakeStep = { ...step, onFailure: 'closed' }
      for (const word of ['/*fail*/', '/*malformed*/', '/*respond twice*/', '/*route*/']) {
        await using open = startService({ upstreams: [postgres.port], fromClient: [step] })
        using passed = await openThrough(open)
        expect(await passed.rows(`select 1 ${word}`)).toEqual([['1']])
        expect(open.failures).toHaveLength(1)
        await using shut = startService({ upstreams: [postgres.port], fromClient: [closed] })
        using refused = await openThrough(shut)
        expect(await repliesTo(refused, 1, query(`select 1 ${word}`))).toEqual([
          'ErrorResponse 58000',
          'ReadyForQuery I',
        ])
        expect(shut.failures).toHaveLength(1)
        await isSound(refused)
      }
    })
  })
}

test('a statement is replaced within its pipeline, with what belongs to it', async () => {
  await using service = startService({ upstreams: [postgres.port], fromClient: [deciding()] })
  using wire = await openThrough(service)
  const read = await repliesTo(wire, 1, extendedQuery('select 1 /*replace parse*/'))
  expect(read).toContain('DataRow other')
})

test('why a step failed is told by name and cause', async () => {
  await using service = startService({ upstreams: [postgres.port], fromClient: [deciding()] })
  using wire = await openThrough(service)
  for (const word of ['/*fail*/', '/*malformed*/', '/*respond twice*/', '/*route*/']) {
    await wire.query(`select 1 ${word}`)
  }
  expect(service.failures).toEqual([
    'onTrafficFromClient: it fell',
    expect.stringContaining('the message at byte 0 is cut'),
    expect.stringContaining('2 ReadyForQuery messages in one answer'),
    'onTrafficFromClient: there is no block "writes1" in group "default"',
  ])
})
