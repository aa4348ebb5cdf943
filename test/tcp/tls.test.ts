/** TLS to clients: what is offered, what is refused, and what a session is behind it. */
import { describe, expect, test } from 'bun:test'
import type { SessionFacts } from '../../src/hooks/step.ts'
import { CONTINUE } from '../../src/hooks/verdict.ts'
import { makeAuthority } from '../kit/certificates.ts'
import { concat, copyData, query } from '../kit/frontend.ts'
import { passing } from '../kit/service.ts'
import { GSSENC_REQUEST, SSL_REQUEST } from '../kit/tls-wire.ts'
import { server as says } from '../protocols/postgres/stage.ts'
import { type FakeConnection, inTime } from './fake-server.ts'
import { ANN } from './scene.ts'
import { emptied, logInOver, setTlsScene, type TlsScene } from './tls-scene.ts'

const MB = 2 ** 20

async function answer(server: FakeConnection, length: number): Promise<void> {
  await server.read(length)
  server.send(says.complete('SELECT 1'), says.ready())
}

describe('a client', () => {
  const ways = {
    'that asks for it': { version: 'TLSv1.3', options: {} },
    'that asks for it, of an older version': {
      version: 'TLSv1.2',
      options: { maxVersion: 'TLSv1.2' as const },
    },
    'that begins with it': { version: 'TLSv1.3', options: { direct: true } },
    'that begins with it, of an older version': {
      version: 'TLSv1.2',
      options: { direct: true, maxVersion: 'TLSv1.2' as const },
    },
  }
  for (const [way, { version, options }] of Object.entries(ways)) {
    test(`${way} has TLS from the startup on`, async () => {
      await using scene = await setTlsScene()
      const { wire, tls, server } = await logInOver(scene, {
        ...options,
        ca: scene.authority.certificate,
        rejectUnauthorized: true,
      })
      expect(tls.getProtocol()).toBe(version)
      wire.send(query('select 1'))
      await answer(server, query('select 1').length)
      expect((await wire.expect('CommandComplete')).name).toBe('CommandComplete')
      expect([...scene.account.connections.entries()]).toContainEqual([version, 1])
    })
  }

  test('may do without, unless TLS is required', async () => {
    await using scene = await setTlsScene()
    const { wire } = await scene.logIn()
    expect(wire.isEnded).toBe(false)
  })

  test('may ask for GSSAPI first, which there is not', async () => {
    await using scene = await setTlsScene()
    const wire = await scene.connect()
    wire.send(GSSENC_REQUEST)
    expect(await wire.readBytes(1)).toEqual(Uint8Array.of(0x4e))
    wire.send(SSL_REQUEST)
    expect(await wire.readBytes(1)).toEqual(Uint8Array.of(0x53))
  })

  test('that is refused is told so within TLS', async () => {
    await using scene = await setTlsScene(
      {},
      { opening: () => ({ kind: 'deny', code: '53300', message: 'no' }) },
    )
    const { wire } = await scene.secure()
    wire.send(ANN)
    expect(await wire.expect('ErrorResponse')).toMatchObject({ severity: 'FATAL', code: '53300' })
    await wire.closed()
  })

  test('without the oldest version that is spoken is refused', async () => {
    await using scene = await setTlsScene({ tlsMinVersion: '1.3' })
    const refused = scene.secure({ maxVersion: 'TLSv1.2' })
    await expect(refused).rejects.toThrow(/protocol.version/i)
    await emptied(scene)
    expect(scene.account.failures.of('handshake')).toBe(1)
  })

  test('that begins with TLS must name the protocol', async () => {
    await using scene = await setTlsScene()
    const { wire } = await scene.secure({ direct: true, ALPNProtocols: [] })
    await wire.closed()
    await emptied(scene)
    expect(scene.account.failures.of('alpn')).toBe(1)
    await expect(scene.secure({ direct: true, ALPNProtocols: ['h2'] })).rejects.toThrow()
    await emptied(scene)
  })

  test('that ends its side still gets the reply', async () => {
    await using scene = await setTlsScene()
    const { wire, server } = await logInOver(scene)
    wire.send(query('select 1'))
    wire.halfClose()
    await server.read(query('select 1').length)
    await server.ended
    server.send(says.complete('SELECT 1'), says.ready())
    await wire.expect('CommandComplete')
    await wire.expect('ReadyForQuery')
    server.socket.end()
    await wire.closed()
  })
})

describe('the certificate', () => {
  test('is that of the name which a client asks for', async () => {
    const certificates = [
      {
        serverNames: ['sales.example', '*.sales.example'],
        certFile: 'PEM/sales.crt',
        keyFile: 'PEM/sales.key',
      },
    ]
    await using scene = await setTlsScene({ certificates })
    const shown = async (options: object): Promise<string> => {
      const { tls, wire } = await scene.secure(options)
      const CN = String(tls.getPeerCertificate().subject.CN)
      wire.destroy()
      return CN
    }
    expect(await shown({ servername: 'sales.example' })).toBe('sales')
    expect(await shown({ servername: 'eu.SALES.example' })).toBe('sales')
    expect(await shown({ servername: 'a.eu.sales.example' })).toBe('localhost')
    expect(await shown({ servername: 'other.example' })).toBe('localhost')
    expect(await shown({ servername: '' })).toBe('localhost')
    expect(await shown({ direct: true, servername: 'sales.example' })).toBe('sales')
  })

  test('of one that sends garbage for a name ends the session', async () => {
    const certificates = [
      { serverNames: ['a'], certFile: 'PEM/sales.crt', keyFile: 'PEM/sales.key' },
    ]
    await using scene = await setTlsScene({ certificates })
    const wire = await scene.connect()
    wire.send(SSL_REQUEST)
    await wire.readBytes(1)
    wire.send(new TextEncoder().encode('GET / HTTP/1.1\r\n\r\n'))
    await emptied(scene)
    expect(scene.account.failures.of('handshake')).toBe(1)
  })

  test('is another as soon as the files change, and stays where they are broken', async () => {
    await using scene = await setTlsScene()
    const shown = async (): Promise<string> => {
      const { tls, wire } = await scene.secure()
      const CN = String(tls.getPeerCertificate().subject.CN)
      wire.destroy()
      return CN
    }
    const { wire } = await logInOver(scene)
    expect(await shown()).toBe('localhost')
    scene.folder.put('server', await scene.authority.issue({ subject: 'CN=renewed' }))
    await inTime(
      'the new certificate',
      until(async () => (await shown()) === 'renewed'),
    )
    scene.folder.write('server.key', 'no key at all')
    await inTime(
      'the refusal',
      until(() => scene.account.certificatesRefused > 0),
    )
    expect(await shown()).toBe('renewed')
    expect(scene.account.certificatesReloaded).toBeGreaterThan(0)
    expect(wire.isEnded).toBe(false)
  })
})

async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await Bun.sleep(20)
}

describe('the certificate of a client', () => {
  const asking = (clientCert: string) => ({ clientCert, clientCaFile: 'PEM/authority.crt' })

  async function refusal(scene: TlsScene, options: object): Promise<string> {
    const { wire } = await scene.secure(options)
    wire.send(ANN)
    const { code, message } = await wire.expect('ErrorResponse')
    await wire.closed()
    return `${code} ${message}`
  }

  test('is told to steps, with the version and the cipher', async () => {
    let told: SessionFacts['tls'] = null
    const step = {
      ...passing(false),
      decide: (_: Uint8Array, session: SessionFacts) => {
        told = session.tls
        return CONTINUE
      },
    }
    await using scene = await setTlsScene(asking('required'), { fromClient: [step] })
    const { certificate, key } = await scene.authority.issue({
      subject: 'CN=ann\\, the first,O=shop',
    })
    await logInOver(scene, { cert: certificate, key })
    expect<unknown>(told).toEqual({
      version: 'TLSv1.3',
      cipher: expect.stringContaining('TLS_AES_'),
      subject: 'CN=ann\\, the first,O=shop',
    })
  })

  test('must be there where it is required', async () => {
    await using scene = await setTlsScene(asking('required'))
    const needed = '28000 connection requires a valid client certificate'
    expect(await refusal(scene, {})).toBe(needed)
    expect(await refusal(scene, { maxVersion: 'TLSv1.2' })).toBe(needed)
    expect(scene.account.failures.of('certificate')).toBe(2)
  })

  test('must be good wherever there is one', async () => {
    const stranger = await makeAuthority('CN=stranger')
    for (const clientCert of ['required', 'optional']) {
      await using scene = await setTlsScene(asking(clientCert))
      const { certificate, key } = await stranger.issue({ subject: 'CN=ann' })
      expect(await refusal(scene, { cert: certificate, key })).toStartWith('28000 the client cert')
      const late = await scene.authority.issue({ subject: 'CN=ann', days: -1 })
      const expired = { cert: late.certificate, key: late.key }
      expect(await refusal(scene, expired)).toStartWith('28000 the client cert')
    }
  })

  test('may be missing where it is optional', async () => {
    await using scene = await setTlsScene(asking('optional'))
    await logInOver(scene)
    expect(scene.account.failures.of('certificate')).toBe(0)
  })
})

test('a slow reader over TLS is kept back, and gets every byte', async () => {
  const row = copyData('x'.repeat(MB - 5))
  const rows = 60
  await using scene = await setTlsScene()
  const { wire, tls, server } = await logInOver(scene)
  const { account } = scene.service
  wire.send(query('select'))
  await server.read(query('select').length)
  const before = account.bytesFromServer
  for (let count = 0; count < rows; count++) server.socket.write(row)
  tls.removeAllListeners('data')
  let read = 0
  let mostOnTheWay = 0
  const done = Promise.withResolvers<void>()
  tls.on('data', (chunk: Buffer) => {
    read += chunk.length
    mostOnTheWay = Math.max(mostOnTheWay, account.bytesFromServer - before - read)
    if (read === rows * row.length) done.resolve()
    tls.pause()
    setImmediate(() => tls.resume())
  })
  await inTime('the last row', done.promise)
  expect(mostOnTheWay).toBeLessThan(24 * MB)
}, 20_000)

test('a slow server is kept back from a client over TLS, and gets every byte', async () => {
  const row = copyData('y'.repeat(MB - 5))
  const rows = 40
  await using scene = await setTlsScene()
  const { wire, server } = await logInOver(scene)
  const { account } = scene.service
  const before = account.bytesFromClient
  server.socket.pause()
  for (let count = 0; count < rows; count++) wire.socket.write(row)
  await Bun.sleep(200)
  expect(account.bytesFromClient - before).toBeLessThan(24 * MB)
  server.socket.resume()
  const bytes = await server.read(rows * row.length)
  expect(Bun.hash(bytes)).toBe(Bun.hash(concat(...Array.from({ length: rows }, () => row))))
}, 20_000)

test('a startup in the same breath as the end of the handshake is not lost', async () => {
  await using scene = await setTlsScene()
  for (let round = 0; round < 20; round++) {
    const { wire, server } = await logInOver(scene, { direct: round % 2 === 0 })
    wire.destroy()
    await server.ended
    server.socket.destroy()
  }
})
