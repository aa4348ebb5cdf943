import { expect, setDefaultTimeout, test } from 'bun:test'
import { type Observer, ObserverDesk } from '../../src/hooks/observers.ts'
import type { ObservedEvent } from '../../src/hooks/step.ts'
import { CONTINUE } from '../../src/hooks/verdict.ts'
import { RAW } from '../../src/protocols/raw.ts'
import { concat, query, terminate } from '../kit/frontend.ts'
import type { FakeStep } from '../kit/service.ts'
import { server as says } from '../protocols/postgres/stage.ts'
import { inTime, startFakeServer } from './fake-server.ts'
import { ANN, GREETING, setScene } from './scene.ts'

setDefaultTimeout(10_000)

/** Notes what it is asked about under its name, and lets it pass. */
function noting(name: string, noted: string[], more: Partial<FakeStep> = {}): FakeStep {
  return {
    decide: (bytes) => {
      noted.push(`${name} ${String.fromCharCode(bytes[0] ?? 0)}`)
      return CONTINUE
    },
    ...more,
  }
}

const ROWS = concat(says.row('one'), says.complete('SELECT 1'))
const DONE = concat(ROWS, says.ready())

test('an idle session goes over at once: its next statement is judged anew', async () => {
  const noted: string[] = []
  const before = noting('before', noted)
  await using scene = await setScene({ fromClient: [before], fromServer: [before] })
  const { wire, server } = await scene.logIn()
  noted.length = 0
  const after = noting('after', noted)
  const whole = noting('whole', noted, { unit: 'reply' })
  const tenancy = scene.service.renew({ fromClient: [after], fromServer: [whole] })
  expect([scene.service.tenancy.sessions, tenancy.sessions]).toEqual([0, 1])
  wire.send(query('select'))
  await server.read(query('select').length)
  server.send(DONE)
  await wire.readUntil('ReadyForQuery')
  expect(noted).toEqual(['after Q', 'whole D'])
})

test.each([
  ['nobody looks', 'somebody does'],
  ['somebody looks', 'nobody does any more'],
])('where %s, a session goes over to where %s', async (first) => {
  const noted: string[] = []
  const step = noting('step', noted)
  const [before, after] = first === 'nobody looks' ? [[], [step]] : [[step], []]
  await using scene = await setScene({ fromClient: before, fromServer: before })
  const { wire, server } = await scene.logIn()
  // Within a reply: it is not at rest, and what comes of it is whole.
  wire.send(query('select'))
  await server.read(query('select').length)
  server.send(ROWS.subarray(0, 3))
  noted.length = 0
  const tenancy = scene.service.renew({ fromClient: after, fromServer: after })
  expect([scene.service.tenancy.sessions, tenancy.sessions]).toEqual([1, 0])
  server.send(concat(ROWS.subarray(3), says.ready()))
  const reply = await wire.readUntil('ReadyForQuery')
  expect(reply.map(({ name }) => name)).toEqual(['DataRow', 'CommandComplete', 'ReadyForQuery'])
  expect([scene.service.tenancy.sessions, tenancy.sessions]).toEqual([0, 1])
  const during = noted.splice(0)
  expect(during).toEqual(first === 'nobody looks' ? [] : ['step D', 'step C', 'step Z'])
  wire.send(query('select'))
  await server.read(query('select').length)
  server.send(DONE)
  await wire.readUntil('ReadyForQuery')
  expect(noted).toEqual(first === 'nobody looks' ? ['step Q', 'step D', 'step C', 'step Z'] : [])
})

test('a transaction is finished on the old chains, and a pipeline too', async () => {
  const noted: string[] = []
  await using scene = await setScene({ fromClient: [noting('before', noted)] })
  const { wire, server } = await scene.logIn()
  noted.length = 0
  const asks = async (ready: Uint8Array, ...sent: readonly Uint8Array[]): Promise<void> => {
    wire.send(...sent)
    await server.read(concat(...sent).length)
    server.send(says.complete('OK'), ready)
    await wire.readUntil('ReadyForQuery')
  }
  await asks(says.ready('T'), query('begin'))
  const tenancy = scene.service.renew({ fromClient: [noting('after', noted)] })
  await asks(says.ready('T'), query('select'))
  // Two at once: behind the first reply something is owed still.
  wire.send(query('commit'), query('select'))
  await server.read(concat(query('commit'), query('select')).length)
  server.send(says.complete('COMMIT'), says.ready())
  await wire.readUntil('ReadyForQuery')
  expect(tenancy.sessions).toBe(0)
  server.send(says.complete('SELECT 1'), says.ready())
  await wire.readUntil('ReadyForQuery')
  expect(tenancy.sessions).toBe(1)
  await asks(says.ready(), query('select'))
  expect(noted).toEqual(['before Q', 'before Q', 'before Q', 'before Q', 'after Q'])
})

test('what a step is asked about is never split between two generations', async () => {
  const answer = Promise.withResolvers<typeof CONTINUE>()
  const asked = Promise.withResolvers<void>()
  const slow: FakeStep = {
    messages: ['Query'],
    decide: () => {
      asked.resolve()
      return answer.promise
    },
  }
  await using scene = await setScene({ fromClient: [slow] })
  const { wire, server } = await scene.logIn()
  const whole = query('select')
  // Half a message, then a step that is waited for: neither is a moment to go over.
  wire.send(whole.subarray(0, 4))
  const half = (): boolean => scene.service.account.bytesFromClient > ANN.length
  while (!half()) await new Promise(setImmediate)
  const tenancy = scene.service.renew({ fromClient: [] })
  expect(tenancy.sessions).toBe(0)
  wire.send(whole.subarray(4))
  await inTime('the step was asked', asked.promise)
  expect(tenancy.sessions).toBe(0)
  answer.resolve(CONTINUE)
  await server.read(whole.length)
  server.send(DONE)
  await wire.readUntil('ReadyForQuery')
  expect(tenancy.sessions).toBe(1)
})

test('a session for which nothing changes goes over whatever it does', async () => {
  const step = noting('same', [])
  await using scene = await setScene({ fromClient: [step] })
  const { wire, server } = await scene.logIn()
  wire.send(query('begin'))
  await server.read(query('begin').length)
  const tenancy = scene.service.renew({ fromClient: [step], sessionsMax: 1 })
  expect([scene.service.tenancy.sessions, tenancy.sessions]).toEqual([0, 1])
  server.send(says.complete('BEGIN'), says.ready('T'))
  await wire.readUntil('ReadyForQuery')
  // Another limit of messages is a change.
  const other = scene.service.renew({ fromClient: [step], messageBytesMax: 2000 })
  expect([tenancy.sessions, other.sessions]).toEqual([1, 0])
})

test('who cannot go over is ended by force: told so, or with raw just closed', async () => {
  const another = await startFakeServer()
  await using scene = await setScene()
  const { wire } = await scene.logIn()
  const tenancy = scene.service.renew({ upstreams: [another.port] })
  const left = scene.service.tenancy.empty()
  expect([scene.service.tenancy.sessions, tenancy.sessions]).toEqual([1, 0])
  scene.service.listener.expel(tenancy)
  scene.service.listener.expel(scene.service.tenancy)
  expect(await wire.expect('ErrorResponse')).toMatchObject({ severity: 'FATAL', code: '57P01' })
  await wire.closed()
  await inTime('the old generation is empty', left)
  expect(scene.service.account.expelled).toBe(1)
  await another[Symbol.asyncDispose]()

  await using raw = await setScene({ protocol: RAW, fromClient: [noting('raw', [])] })
  const client = await raw.connect()
  client.send(new Uint8Array([1]))
  const end = await raw.server.next()
  await end.read(1)
  raw.service.renew({ fromClient: [] })
  end.send(new Uint8Array([2]))
  expect([...(await client.readBytes(1))]).toEqual([2])
  expect(raw.service.tenancy.sessions).toBe(1)
  raw.service.listener.expel(raw.service.tenancy)
  await client.closed()
})

test('a session that logs in meanwhile goes over when it is in', async () => {
  await using scene = await setScene({ fromClient: [noting('before', [])] })
  const wire = await scene.connect()
  wire.send(ANN)
  const server = await scene.server.next()
  await server.read(ANN.length)
  const tenancy = scene.service.renew({ fromClient: [] })
  expect(tenancy.sessions).toBe(0)
  server.send(GREETING)
  await wire.readUntil('ReadyForQuery')
  expect(tenancy.sessions).toBe(1)
})

test('observers are told in order over the change, and those who left hear no more', async () => {
  const told: string[] = []
  const slow = Promise.withResolvers<boolean>()
  const observer = (name: string, tell: (event: ObservedEvent) => boolean | Promise<boolean>) =>
    ({
      step: {
        plugin: 'same',
        priority: 1,
        onFailure: 'open',
        messages: null,
        unit: 'message',
        tell,
      },
      tags: null,
      name,
    }) as Observer
  const account = { dropped: () => {}, failed: () => {} }
  const closed = (name: string): Observer =>
    observer(name, () => {
      told.push(`${name} closed`)
      return true
    })
  const opened = observer('before', () => {
    told.push('before opened')
    return slow.promise.then(() => told.push('before knows') > 0)
  })
  const before = new ObserverDesk(
    new Map([
      ['onOpened', [opened]],
      ['onClosed', [closed('before')]],
    ]),
    new Set(),
    10,
    account,
  )
  const after = new ObserverDesk(new Map([['onClosed', [closed('after')]]]), new Set(), 10, account)
  await using scene = await setScene({ observers: before })
  const { wire, server } = await scene.logIn()
  const tenancy = scene.service.renew({ observers: after })
  expect(tenancy.sessions).toBe(1)
  wire.send(terminate())
  wire.halfClose()
  await server.read(terminate().length)
  server.socket.end()
  await inTime('it has left', tenancy.empty())
  expect(told).toEqual(['before opened'])
  slow.resolve(true)
  await before.quiet()
  await after.quiet()
  expect(told).toEqual(['before opened', 'before knows', 'after closed'])
})
