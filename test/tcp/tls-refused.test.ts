/** What is refused around TLS: clients without it, and handshakes that cannot come to an end. */
import { describe, expect, test } from 'bun:test'
import { CONTINUE } from '../../src/hooks/verdict.ts'
import type { TlsAccount } from '../../src/tcp/account.ts'
import type { TlsOptions } from '../../src/tcp/tls.ts'
import { cancelRequest, query } from '../kit/frontend.ts'
import { passing } from '../kit/service.ts'
import { SSL_REQUEST } from '../kit/tls-wire.ts'
import { inTime } from './fake-server.ts'
import { ANN } from './scene.ts'
import { emptied, logInOver, setTlsScene } from './tls-scene.ts'

type Certificates = TlsOptions['certificates']

describe('TLS that is required', () => {
  test('is missed in a client that does not ask for it', async () => {
    await using scene = await setTlsScene({ requireTLS: true })
    const wire = await scene.connect()
    wire.send(ANN)
    expect(await wire.expect('ErrorResponse')).toMatchObject({
      severity: 'FATAL',
      code: '28000',
      message: expect.stringContaining('encrypted'),
      hint: expect.stringContaining('sslmode=require'),
    })
    await wire.closed()
    expect(scene.account.unencrypted).toBe(1)
    const unused = await scene.server.next()
    await unused.ended
    await logInOver(scene)
  })

  test('is not missed in a CancelRequest, as PostgreSQL does not', async () => {
    await using scene = await setTlsScene({ requireTLS: true })
    await logInOver(scene)
    const request = cancelRequest(7, Uint8Array.of(0, 0, 0, 9))
    const secure = async () => (await scene.secure()).wire
    for (const connect of [scene.connect, secure]) {
      const from = await connect()
      from.send(request)
      const own = await scene.server.next()
      await own.ended
      const cancelling = await scene.server.next()
      expect([...(await cancelling.read(request.length))]).toEqual([...request])
      cancelling.socket.end()
      await from.closed()
    }
  })
})

describe('a handshake', () => {
  test('with bytes behind the request is refused before anything of them is used', async () => {
    await using scene = await setTlsScene()
    const wire = await scene.connect()
    wire.send(SSL_REQUEST, ANN)
    expect(await wire.expect('ErrorResponse')).toMatchObject({
      code: '08P01',
      message: expect.stringContaining('data follow a request for encryption'),
    })
    await wire.closed()
  })

  test('with bytes that come while a step is shown the request is refused too', async () => {
    const { promise: seen, resolve: show } = Promise.withResolvers<void>()
    const { promise: decided, resolve: decide } = Promise.withResolvers<void>()
    const edge = {
      ...passing(false, 'batch'),
      seesEdges: true,
      decide: async () => {
        show()
        await decided
        return CONTINUE
      },
    }
    await using scene = await setTlsScene({}, { fromClient: [edge] })
    const wire = await scene.connect()
    wire.send(SSL_REQUEST)
    await inTime('the step', seen)
    wire.send(ANN)
    await Bun.sleep(20)
    decide()
    expect([...(await wire.readBytes(1))]).toEqual([0x53])
    expect(await wire.expect('ErrorResponse')).toMatchObject({ code: '08P01' })
    await wire.closed()
  })

  test('inside of TLS is none', async () => {
    await using scene = await setTlsScene()
    const { wire } = await scene.secure()
    wire.send(SSL_REQUEST)
    expect(await wire.expect('ErrorResponse')).toMatchObject({ code: '08P01' })
    await wire.closed()
  })

  const ends = {
    handshake: (send: (bytes: Uint8Array) => void) => send(new Uint8Array(64).fill(0x41)),
    closed: (_: unknown, socket: { resetAndDestroy(): unknown }) => socket.resetAndDestroy(),
  }
  for (const [cause, act] of Object.entries(ends)) {
    test(`that fails ends the session and is counted: ${cause}`, async () => {
      await using scene = await setTlsScene()
      const wire = await scene.connect()
      wire.send(SSL_REQUEST)
      await wire.readBytes(1)
      act((bytes) => wire.send(bytes), wire.socket)
      await emptied(scene)
      expect(Object.fromEntries(scene.account.failures.entries())).toMatchObject({ [cause]: 1 })
    })
  }

  test('whose client ends its side is over', async () => {
    await using scene = await setTlsScene()
    const wire = await scene.connect()
    wire.send(SSL_REQUEST)
    await wire.readBytes(1)
    wire.send(Uint8Array.of(0x16, 3, 1))
    wire.halfClose()
    await emptied(scene)
  })

  test('that stalls ends in time, before and within TLS', async () => {
    const certificates = [
      { serverNames: ['a'], certFile: 'PEM/sales.crt', keyFile: 'PEM/sales.key' },
    ]
    for (const keys of [{}, { certificates }]) {
      await using scene = await setTlsScene({ ...keys, handshakeTimeout: '100ms' })
      const wire = await scene.connect()
      wire.send(SSL_REQUEST)
      await wire.readBytes(1)
      wire.send(Uint8Array.of(0x16, 3, 1, 2, 0, 1))
      await emptied(scene)
      expect(scene.account.failures.of('timeout')).toBe(1)
    }
  })

  test('that is under way does not keep the service from stopping', async () => {
    const scene = await setTlsScene()
    const wire = await scene.connect()
    wire.send(SSL_REQUEST)
    await wire.readBytes(1)
    await inTime('the stop', scene[Symbol.asyncDispose]())
  })
})

test('random bytes in the place of a handshake end their session, and no other', async () => {
  const certificates = [
    { serverNames: ['a.example'], certFile: 'PEM/sales.crt', keyFile: 'PEM/sales.key' },
  ]
  for (const keys of [{}, { certificates }]) {
    await using scene = await setTlsScene(keys)
    const { wire: witness, server } = await logInOver(scene)
    for (let round = 0; round < 60; round++) {
      const wire = await scene.connect()
      const bytes = crypto.getRandomValues(new Uint8Array(1 + Math.floor(Math.random() * 600)))
      // Every other one looks like TLS at first.
      if (round % 2 === 0) bytes.set([0x16, 3, 1, 1, 0, 1, 0, 0, 252].slice(0, bytes.length))
      wire.send(SSL_REQUEST)
      await wire.readBytes(1)
      wire.send(bytes)
      wire.halfClose()
    }
    while (scene.service.listener.sessions > 1) await Bun.sleep(5)
    witness.send(query('select 1'))
    await server.read(query('select 1').length)
    expect(witness.isEnded).toBe(false)
    const counts = Object.fromEntries(scene.account.failures.entries())
    expect(counts['handshake']! + counts['closed']!).toBe(60)
    expect(scene.service.account.internalErrors).toBe(0)
  }
}, 20_000)

test('a handshake that cannot even begin ends its session, and is our fault', async () => {
  const unusable = { dependsOnName: true, shownFor: () => ({ context: {}, certificate: {} }) }
  const tls = (account: TlsAccount): TlsOptions => ({
    certificates: { current: unusable, watch() {}, stop() {} } as unknown as Certificates,
    required: false,
    clientCert: 'none',
    handshakeTimeoutMs: 0,
    account,
  })
  await using scene = await setTlsScene({}, { tls })
  await expect(scene.secure()).rejects.toThrow()
  await expect(scene.secure({ direct: true })).rejects.toThrow()
  await emptied(scene)
  expect(scene.service.account.internalErrors).toBe(2)
})
