/** What steps may do before a login: at onOpening, at the startup, at the password. */
import { describe, expect, test } from 'bun:test'
import type { SessionFacts } from '../../src/hooks/step.ts'
import { CONTINUE, type OpeningVerdict, type TrafficVerdict } from '../../src/hooks/verdict.ts'
import {
  cancelRequest,
  concat,
  gssRequest,
  passwordMessage,
  query,
  sslRequest,
  startup,
  terminate,
} from '../kit/frontend.ts'
import type { FakeStep } from '../kit/service.ts'
import { server as says, short } from '../protocols/postgres/stage.ts'
import { ANN, GREETING, setScene } from './scene.ts'

const DENY = { kind: 'deny', code: '28000', message: 'not you', hint: 'ask' } as const
const PASSWORD = passwordMessage('secret')

const at = (messages: readonly string[], verdict: TrafficVerdict, slowly: boolean): FakeStep => ({
  messages,
  decide: slowly ? async () => verdict : () => verdict,
})

for (const slowly of [false, true]) {
  const how = slowly ? 'after a promise' : 'at once'

  describe(`onOpening, ${how}`, () => {
    const opening = (verdict: OpeningVerdict) => ({
      opening: slowly ? async () => verdict : () => verdict,
    })

    test('a client is refused behind SSLRequest and startup, and nothing is dialled', async () => {
      await using scene = await setScene(opening(DENY))
      const wire = await scene.connect()
      wire.send(gssRequest())
      expect(await wire.readBytes(1)).toEqual(Uint8Array.of(0x4e))
      wire.send(sslRequest())
      expect(await wire.readBytes(1)).toEqual(Uint8Array.of(0x4e))
      wire.send(ANN)
      expect(await wire.expect('ErrorResponse')).toMatchObject({
        severity: 'FATAL',
        code: '28000',
        message: 'not you',
        hint: 'ask',
      })
      await wire.closed()
      expect(scene.service.account.bytesToServer).toBe(0)
    })

    test('a client is closed at once, with last words or without', async () => {
      await using words = await setScene(
        opening({ kind: 'close', bytes: says.error('28000', 'x') }),
      )
      const told = await words.connect()
      expect(short(await told.read())).toBe('ErrorResponse 28000')
      await told.closed()
      await using silence = await setScene(opening({ kind: 'close' }))
      await (await silence.connect()).closed()
    })

    test('a client is let in', async () => {
      await using scene = await setScene(opening(CONTINUE))
      await scene.logIn()
    })

    test('a client that leaves meanwhile is not dialled for', async () => {
      const { promise, resolve } = Promise.withResolvers<OpeningVerdict>()
      const verdicts = [promise, CONTINUE]
      await using scene = await setScene({ opening: () => verdicts.shift()! })
      const leaving = await scene.connect()
      leaving.socket.resetAndDestroy()
      while (scene.service.account.sessionsOpen > 0) await new Promise(setImmediate)
      resolve(CONTINUE)
      await scene.logIn()
      expect(scene.service.account).toMatchObject({ sessionsTotal: 2, sessionsOpen: 1 })
    })
  })

  describe(`at the startup packet, ${how}`, () => {
    test('a client is refused with FATAL, and the server hears nothing', async () => {
      await using scene = await setScene({ fromClient: [at(['StartupMessage'], DENY, slowly)] })
      const wire = await scene.connect()
      wire.send(ANN)
      expect(await wire.expect('ErrorResponse')).toMatchObject({ severity: 'FATAL', code: '28000' })
      await wire.closed()
      expect(await (await scene.server.next()).readToEnd()).toHaveLength(0)
      expect(scene.service.denials).toEqual(['onTrafficFromClient'])
    })

    test('a step that fails closed refuses with FATAL, one that is open lets pass', async () => {
      const failure: TrafficVerdict = { kind: 'failure', cause: 'it fell' }
      const step = at(['StartupMessage'], failure, slowly)
      await using shut = await setScene({ fromClient: [{ ...step, onFailure: 'closed' }] })
      const wire = await shut.connect()
      wire.send(ANN)
      expect(await wire.expect('ErrorResponse')).toMatchObject({ severity: 'FATAL', code: '58000' })
      await wire.closed()
      await using open = await setScene({ fromClient: [step] })
      await open.logIn()
      expect(open.service.failures).toEqual(['onTrafficFromClient: it fell'])
    })

    test('a client may be made another, and what it sent behind comes behind', async () => {
      const bob = startup({ user: 'bob', database: 'other' })
      const verdict: TrafficVerdict = { kind: 'replace', bytes: bob }
      await using scene = await setScene({ fromClient: [at(['StartupMessage'], verdict, slowly)] })
      const wire = await scene.connect()
      wire.send(ANN, PASSWORD)
      const server = await scene.server.next()
      expect(await server.read(bob.length + PASSWORD.length)).toEqual(
        Buffer.concat([bob, PASSWORD]),
      )
    })

    test('a step may log the client in itself, and the server hears nothing', async () => {
      const answers = [says.authentication(3), concat(says.authentication(0), says.ready())]
      const decide = (): TrafficVerdict => ({ kind: 'respond', bytes: answers.shift()! })
      const step: FakeStep = { decide: slowly ? async () => decide() : decide }
      await using scene = await setScene({ fromClient: [step] })
      const wire = await scene.connect()
      wire.send(ANN)
      await wire.expect('Authentication')
      wire.send(PASSWORD)
      await wire.expect('Authentication')
      await wire.expect('ReadyForQuery')
      expect(scene.service.account.bytesToServer).toBe(0)
    })
  })

  describe(`at the password, ${how}`, () => {
    test('a client is refused with FATAL, and the server hears nothing of it', async () => {
      await using scene = await setScene({ fromClient: [at(['PasswordMessage'], DENY, slowly)] })
      const wire = await scene.connect()
      wire.send(ANN)
      const server = await scene.server.next()
      await server.read(ANN.length)
      server.send(says.authentication(3))
      await wire.expect('Authentication')
      wire.send(PASSWORD)
      expect(await wire.expect('ErrorResponse')).toMatchObject({ severity: 'FATAL', code: '28000' })
      await wire.closed()
      expect(await server.readToEnd()).toHaveLength(0)
    })

    test('the question for it may be refused too', async () => {
      await using scene = await setScene({ fromServer: [at(['Authentication'], DENY, slowly)] })
      const wire = await scene.connect()
      wire.send(ANN)
      const server = await scene.server.next()
      server.send(says.authentication(3))
      expect(await wire.expect('ErrorResponse')).toMatchObject({ severity: 'FATAL', code: '28000' })
      await wire.closed()
      await server.ended
    })
  })
}

describe('what no step decides about', () => {
  test('a CancelRequest, which runs no hook of traffic', async () => {
    const seen: Uint8Array[] = []
    const decide: FakeStep['decide'] = (bytes) => {
      seen.push(bytes.slice())
      return CONTINUE
    }
    await using scene = await setScene({ fromClient: [{ decide, seesEdges: true }] })
    const wire = await scene.connect()
    wire.send(cancelRequest(1, new Uint8Array(4)))
    await wire.closed()
    expect(seen).toEqual([])
    expect(scene.service.account.cancelRequests).toBe(1)
  })

  test('the SSLRequest and the end, which some are shown: what they say is ignored', async () => {
    for (const slowly of [false, true]) {
      const seen: string[] = []
      const decide = (bytes: Uint8Array): TrafficVerdict => {
        seen.push(Buffer.from(bytes).toString('hex'))
        const isEdge = bytes.length === 0 || bytes.length === 8
        return isEdge ? { kind: 'deny', code: '28000', message: 'no' } : CONTINUE
      }
      const step: FakeStep = { seesEdges: true, decide: slowly ? async (b) => decide(b) : decide }
      await using scene = await setScene({ fromClient: [step] })
      const wire = await scene.connect()
      wire.send(gssRequest())
      await wire.readBytes(1)
      wire.send(sslRequest())
      await wire.readBytes(1)
      wire.send(ANN)
      const server = await scene.server.next()
      await server.read(ANN.length)
      server.send(GREETING)
      await wire.readUntil('ReadyForQuery')
      wire.send(terminate())
      wire.halfClose()
      await server.ended
      const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
      expect(seen).toEqual([hex(sslRequest()), hex(ANN), hex(terminate()), ''])
      expect(scene.service.failures).toEqual([])
    }
  })
})

describe('what steps know of a session', () => {
  test('grows with the login, and is one object with a memory of its own', async () => {
    const seen: SessionFacts[] = []
    const notes: unknown[] = []
    await using scene = await setScene({
      fromClient: [
        {
          decide: (_bytes, session) => {
            seen.push(session)
            notes.push(session.user, session.server.remote.split(':')[0], session.memory.size)
            session.memory.set('step', new Map())
            return CONTINUE
          },
        },
      ],
    })
    const { wire, server } = await scene.logIn()
    wire.send(query('select 1'))
    await server.read(query('select 1').length)
    const second = await scene.logIn()
    expect(seen[0]).toBe(seen[1]!)
    expect(seen[2]?.id).not.toBe(seen[0]?.id)
    expect(notes).toEqual(['ann', '127.0.0.1', 0, 'ann', '127.0.0.1', 1, 'ann', '127.0.0.1', 0])
    expect(seen[0]).toMatchObject({
      group: 'default',
      block: 'writes',
      protocol: 'postgres',
      database: 'shop',
      tls: null,
      client: { remote: `127.0.0.1:${wire.socket.localPort}` },
      server: { remote: `127.0.0.1:${scene.server.port}` },
    })
    expect(second.wire.isEnded).toBe(false)
  })

  test('has the request last sent where a step asks for it', async () => {
    const requests: string[] = []
    await using scene = await setScene({
      keepsRequest: true,
      fromClient: [
        {
          messages: ['Query'],
          decide: (bytes) =>
            Buffer.from(bytes).includes('replace')
              ? { kind: 'replace', bytes: query('replaced') }
              : CONTINUE,
        },
      ],
      fromServer: [
        {
          messages: ['CommandComplete'],
          decide: (_bytes, session) => {
            requests.push(Buffer.from(session.lastRequest).toString().slice(5, -1))
            return CONTINUE
          },
        },
      ],
    })
    const { wire, server } = await scene.logIn()
    for (const sql of ['select 1', 'replace me']) {
      wire.send(query(sql))
      await server.read(query(sql === 'select 1' ? sql : 'replaced').length)
      server.send(says.complete('SELECT 1'), says.ready())
      await wire.readUntil('ReadyForQuery')
    }
    expect(requests).toEqual(['select 1', 'replaced'])
  })

  test('has it also where no step looks at requests', async () => {
    const requests: Uint8Array[] = []
    await using scene = await setScene({
      keepsRequest: true,
      fromServer: [
        {
          decide: (_bytes, session) => {
            requests.push(session.lastRequest)
            return CONTINUE
          },
        },
      ],
    })
    const { wire, server } = await scene.logIn()
    wire.send(query('select 1'))
    await server.read(query('select 1').length)
    server.send(says.ready())
    await wire.expect('ReadyForQuery')
    expect([requests.at(0), requests.at(-1)]).toEqual([ANN, query('select 1')])
  })
})
