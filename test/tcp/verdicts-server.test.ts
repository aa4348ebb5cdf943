/** What a step decides about a server's messages, in every kind of reply of PostgreSQL. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { CONTINUE, type TrafficVerdict } from '../../src/hooks/verdict.ts'
import { walk } from '../../src/protocols/postgres/messages.ts'
import { BACKEND_TAGS } from '../../src/protocols/postgres/tags.ts'
import {
  concat,
  copyData,
  copyDone,
  copyFail,
  extendedQuery,
  message,
  query,
} from '../kit/frontend.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { type FakeStep, type Service, startService } from '../kit/service.ts'
import { openSession, type Wire } from '../kit/wire.ts'
import { server as says, short } from '../protocols/postgres/stage.ts'

let postgres: PostgresServer
beforeAll(async () => {
  postgres = await startPostgres()
})
afterAll(() => postgres.stop())

const DENY: TrafficVerdict = { kind: 'deny', code: '42501', message: 'not for you' }

/** A step that says this to messages with the word in them, whole or in a reply. */
function on(word: string, verdict: TrafficVerdict, step: Partial<FakeStep> = {}): FakeStep {
  return {
    ...step,
    decide: (bytes) => (Buffer.from(bytes).toString('latin1').includes(word) ? verdict : CONTINUE),
  }
}

/** As `on`, for messages of this type. */
function onType(type: string, verdict: TrafficVerdict): FakeStep {
  return {
    decide: (bytes) => {
      let isThere = false
      walk(bytes, BACKEND_TAGS, (tag) => {
        isThere ||= tag === type.charCodeAt(0)
      })
      return isThere ? verdict : CONTINUE
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

const before = (step: FakeStep): Service =>
  startService({ upstreams: [postgres.port], fromServer: [step] })

async function repliesTo(wire: Wire, replies: number, ...parts: readonly Uint8Array[]) {
  wire.send(...parts)
  const read: string[] = []
  for (let reply = 0; reply < replies; reply++) {
    read.push(...(await wire.readUntil('ReadyForQuery')).map(short))
  }
  return read
}

async function isSound(wire: Wire): Promise<void> {
  expect(await wire.rows("select 'sound'")).toEqual([['sound']])
}

const SECRETS = "select 'secret ' || i from generate_series(1, 500) i"
const WAYS: Readonly<Record<string, (step: FakeStep) => FakeStep>> = {
  'at once': (step) => step,
  'after a promise': slowed,
  'for a whole reply': (step) => ({ ...step, unit: 'reply' }),
  'for a whole reply, after a promise': (step) => slowed({ ...step, unit: 'reply' }),
}

for (const [way, how] of Object.entries(WAYS)) {
  describe(`refused ${way}`, () => {
    test('rows of a simple query become an error, and the session goes on', async () => {
      await using service = before(how(on('secret 3', DENY)))
      using wire = await openThrough(service)
      const read = await repliesTo(wire, 1, query(SECRETS))
      expect(read.slice(-2)).toEqual(['ErrorResponse 42501', 'ReadyForQuery I'])
      expect(read.join()).not.toContain('secret 3')
      await isSound(wire)
      expect(service.denials).toEqual(['onTrafficFromServer'])
    })

    test('rows of an extended query become an error, others in the pipeline pass', async () => {
      await using service = before(how(on('secret', DENY)))
      using wire = await openThrough(service)
      const asked = [
        extendedQuery("select 'open'"),
        extendedQuery(SECRETS),
        extendedQuery('select 2'),
      ]
      const read = await repliesTo(wire, 3, ...asked)
      expect(read.filter((one) => /Error|DataRow|Ready/.test(one))).toEqual([
        'DataRow open',
        'ReadyForQuery I',
        'ErrorResponse 42501',
        'ReadyForQuery I',
        'DataRow 2',
        'ReadyForQuery I',
      ])
      await isSound(wire)
    })

    test('rows within a transaction leave it as it truly is', async () => {
      await using service = before(how(on('secret', DENY)))
      using wire = await openThrough(service)
      await wire.query('begin')
      const read = await repliesTo(wire, 1, query(SECRETS))
      expect(read.slice(-2)).toEqual(['ErrorResponse 42501', 'ReadyForQuery T'])
      expect(await repliesTo(wire, 1, query('commit'))).toContain('CommandComplete COMMIT')
    })

    test('copied-out data end in an error', async () => {
      await using service = before(how(on('secret', DENY)))
      using wire = await openThrough(service)
      const read = await repliesTo(wire, 1, query(`copy (${SECRETS}) to stdout`))
      expect(read.slice(-2)).toEqual(['ErrorResponse 42501', 'ReadyForQuery I'])
      expect(read).not.toContain('CopyDone')
      await isSound(wire)
    })

    test('the question for copied data fails the copy: nothing is stored', async () => {
      await using service = before(how(onType('G', DENY)))
      using wire = await openThrough(service)
      await wire.query('create temp table t (i int)')
      const copy = 'copy t from stdin'
      expect(await repliesTo(wire, 1, query(copy))).toEqual([
        'ErrorResponse 42501',
        'ReadyForQuery I',
      ])
      const extended = await repliesTo(wire, 1, extendedQuery(copy))
      expect(extended.slice(-2)).toEqual(['ErrorResponse 42501', 'ReadyForQuery I'])
      wire.send(copyData('1\n'), copyDone(), copyFail('too late'))
      expect(await wire.rows('select count(*) from t')).toEqual([['0']])
    })

    test('a notification becomes a warning, which ends nothing', async () => {
      await using service = before(how(onType('A', DENY)))
      using listener = await openThrough(service)
      await listener.query('listen news')
      using speaker = await openSession(postgres)
      await speaker.query("notify news, 'secret'")
      expect(await listener.expect('NoticeResponse')).toMatchObject({
        severity: 'WARNING',
        code: '42501',
      })
      await isSound(listener)
    })
  })

  describe(`decided ${way}`, () => {
    test('a reply is replaced', async () => {
      const other = concat(says.columns(), says.complete('SELECT 0'), says.ready())
      const whole = how(on('secret', { kind: 'replace', bytes: other })).unit === 'reply'
      const row = message('D', new Uint8Array([0, 1, 0, 0, 0, 1, 0x78]))
      const bytes = whole ? other : row
      await using service = before(how(on('secret', { kind: 'replace', bytes })))
      using wire = await openThrough(service)
      const read = await wire.query("select 'secret'")
      expect(read.map(short).join()).toBe(
        whole
          ? 'RowDescription,CommandComplete SELECT 0,ReadyForQuery I'
          : 'RowDescription,DataRow x,CommandComplete SELECT 1,ReadyForQuery I',
      )
      await isSound(wire)
    })

    test('a malformed replacement fails the step: open passes, closed refuses', async () => {
      const malformed: TrafficVerdict = { kind: 'replace', bytes: says.row('x').slice(0, -1) }
      await using open = before(how(on('secret', malformed)))
      using passed = await openThrough(open)
      expect(await passed.rows("select 'secret'")).toEqual([['secret']])
      expect(open.failures).toEqual([expect.stringContaining('the message at byte 0 is cut')])
      await using shut = before(how({ ...on('secret', malformed), onFailure: 'closed' }))
      using refused = await openThrough(shut)
      const read = await repliesTo(refused, 1, query("select 'secret'"))
      expect(read.slice(-2)).toEqual(['ErrorResponse 58000', 'ReadyForQuery I'])
      await isSound(refused)
    })

    test('a client is closed within its reply', async () => {
      await using service = before(
        how(on('secret', { kind: 'close', bytes: says.error('22000', 'x') })),
      )
      using wire = await openThrough(service)
      wire.send(query("select 'secret'"))
      const last = (await wire.readUntil('ErrorResponse')).at(-1)
      expect(last).toMatchObject({ code: '22000' })
      await wire.closed()
      while (service.listener.sessions > 0) await new Promise(setImmediate)
    })
  })
}

describe('a failing step that is closed', () => {
  const failing = (messages: readonly string[]): FakeStep => ({
    messages,
    onFailure: 'closed',
    decide: () => ({ kind: 'failure', cause: 'it fell' }),
  })

  test('refuses within a query, and the session stays usable', async () => {
    await using service = before(failing(['DataRow']))
    using wire = await openThrough(service)
    const read = await repliesTo(wire, 1, query('select 1'))
    expect(read.slice(-2)).toEqual(['ErrorResponse 58000', 'ReadyForQuery I'])
    expect(await repliesTo(wire, 1, query('begin'))).toEqual([
      'CommandComplete BEGIN',
      'ReadyForQuery T',
    ])
  })

  test('turns a notification into a warning', async () => {
    await using service = before(failing(['NotificationResponse']))
    using wire = await openThrough(service)
    await wire.query('listen news')
    wire.send(query('notify news'))
    const read = (await wire.readUntil('ReadyForQuery')).map(short)
    const told = read.includes('NoticeResponse 58000') ? read : [short(await wire.read())]
    expect(told).toContain('NoticeResponse 58000')
    await isSound(wire)
  })

  test('ends a session that is not logged in yet', async () => {
    await using service = before(failing(['Authentication']))
    await expect(openThrough(service)).rejects.toThrow('ErrorResponse FATAL 58000')
  })
})

describe('too large for a step', () => {
  const limits = { messageBytesMax: 4096, upstreams: [0] }

  test('is a failure: open streams it past, closed answers 54000; both go on', async () => {
    for (const unit of ['message', 'reply'] as const) {
      for (const onFailure of ['open', 'closed'] as const) {
        const step: FakeStep = { unit, onFailure, decide: () => CONTINUE }
        const options = { ...limits, upstreams: [postgres.port], fromServer: [step] }
        await using service = startService(options)
        using wire = await openThrough(service)
        const read = await repliesTo(wire, 1, query("select repeat('x', 100000)"))
        const expected = onFailure === 'open' ? 'CommandComplete SELECT 1' : 'ErrorResponse 54000'
        expect(read.at(-2)).toBe(expected)
        expect(service.failures.length).toBeGreaterThan(0)
        await isSound(wire)
        expect(service.budget.held).toBe(0)
      }
    }
  })

  test('from the client is refused alike, and streams past where nobody wants it', async () => {
    const huge = query(`select '${'x'.repeat(100_000)}'`)
    for (const onFailure of ['open', 'closed'] as const) {
      const step: FakeStep = { onFailure, messages: ['Query'], decide: () => CONTINUE }
      const options = { ...limits, upstreams: [postgres.port], fromClient: [step] }
      await using service = startService(options)
      using wire = await openThrough(service)
      const read = await repliesTo(wire, 1, huge)
      expect(read.at(-2)).toBe(
        onFailure === 'open' ? 'CommandComplete SELECT 1' : 'ErrorResponse 54000',
      )
      expect(service.failures).toEqual([expect.stringContaining('larger than messageBytesMax')])
      const unwanted = await repliesTo(wire, 1, extendedQuery(`select '${'x'.repeat(100_000)}'`))
      expect(unwanted).toContain('CommandComplete SELECT 1')
      await isSound(wire)
    }
  })

  test('is also what would take more than all sessions may hold together', async () => {
    const step: FakeStep = { unit: 'reply', onFailure: 'closed', decide: () => CONTINUE }
    const options = { upstreams: [postgres.port], fromServer: [step], bufferedBytesMax: 2000 }
    await using service = startService(options)
    using wire = await openThrough(service)
    const read = await repliesTo(wire, 1, query('select i from generate_series(1, 20000) i'))
    expect(read.slice(-2)).toEqual(['ErrorResponse 54000', 'ReadyForQuery I'])
    await isSound(wire)
    expect(service.budget.held).toBe(0)
    expect(service.budget.spent).toBeGreaterThan(0)
  })
})
