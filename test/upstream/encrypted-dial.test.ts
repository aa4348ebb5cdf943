/** How a database answers when it is asked for TLS, and what a dial makes of it. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { createServer, type Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { Socket as BunSocket, SocketHandler } from 'bun'
import { Encryption, type EncryptionOptions, type SslMode } from '../../src/upstream/encryption.ts'
import { type Dialled, Upstream, type UpstreamOptions } from '../../src/upstream/upstream.ts'
import {
  type Authority,
  type Issued,
  makeAuthority,
  makePemFolder,
  type PemFolder,
} from '../kit/certificates.ts'

let folder: PemFolder
let authority: Authority
let issued: Issued
beforeAll(async () => {
  folder = makePemFolder()
  authority = await makeAuthority()
  issued = await authority.issue({ subject: 'CN=db', hosts: ['localhost'] })
})
afterAll(() => folder[Symbol.dispose]())

type Answers = (socket: Socket, request: Buffer) => void

/** A database that does this with each request for TLS. */
async function databaseThat(answers: Answers) {
  const sockets: Socket[] = []
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    socket.once('data', (chunk: Buffer) => answers(socket, chunk))
  })
  await new Promise<void>((listening) => void server.listen(0, '127.0.0.1', listening))
  const at = server.address()
  return {
    port: typeof at === 'object' && at !== null ? at.port : 0,
    sockets,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((closed) => void server.close(() => closed()))
    },
  }
}

/** Begins TLS as a database does, and gives back what is said to it. */
function echoing(pair: Issued, hello: (tls: TLSSocket) => void = () => {}): Answers {
  return (socket) => {
    socket.write('S')
    const tls = new TLSSocket(socket, {
      isServer: true,
      cert: pair.certificate,
      key: pair.key,
      ca: authority.certificate,
      requestCert: true,
      rejectUnauthorized: false,
    })
    tls.on('error', () => {})
    tls.on('secure', () => hello(tls))
    tls.on('data', (chunk) => tls.write(chunk))
    tls.on('end', () => tls.end())
  }
}

interface Owner {
  readonly heard: Uint8Array[]
  wake(): void
}

const handlers: SocketHandler<Owner> = {
  binaryType: 'uint8array',
  data(socket, chunk) {
    socket.data.heard.push(chunk)
    socket.data.wake()
  },
  drain() {},
  error() {},
  close() {},
}

async function dial(
  port: number,
  mode: SslMode,
  more: Partial<EncryptionOptions> = {},
  options: Partial<UpstreamOptions> = {},
): Promise<{ dialled: Dialled<Owner>; owner: Owner; heard: () => Promise<string> }> {
  const encryption = new Encryption({
    mode,
    host: 'localhost',
    authorities: null,
    certificate: null,
    reread() {},
    warn() {},
    ...more,
  })
  const { promise, resolve } = Promise.withResolvers<void>()
  const owner: Owner = { heard: [], wake: resolve }
  const upstream = new Upstream({
    group: 'default',
    block: 'writes',
    address: { network: 'tcp', host: '127.0.0.1', port },
    dialTimeoutMs: 2000,
    retries: 0,
    backoffMs: 1,
    backoffMultiplier: 1,
    disableBackoffCaps: false,
    tcpKeepAliveMs: null,
    encryption,
    ...options,
  })
  const dialled = await upstream.dial(handlers, owner, () => true)
  const heard = async (): Promise<string> => {
    await promise
    return Buffer.concat(owner.heard).toString()
  }
  return { dialled, owner, heard }
}

const socketOf = (dialled: Dialled<Owner>): BunSocket<Owner> => {
  if (dialled.kind === 'connected') return dialled.socket
  throw new Error(dialled.cause)
}
const causeOf = (dialled: Dialled<Owner>): string =>
  dialled.kind === 'failed' ? dialled.cause : 'it is connected'

describe('a database with TLS', () => {
  test('is asked for it by an SSLRequest, and talked to within it', async () => {
    const requests: string[] = []
    const echo = echoing(issued)
    await using database = await databaseThat((socket, request) => {
      requests.push(request.toString('hex'))
      echo(socket, request)
    })
    const { dialled, heard } = await dial(database.port, 'require')
    const socket = socketOf(dialled)
    socket.write('within TLS')
    expect(await heard()).toBe('within TLS')
    expect(requests).toEqual(['0000000804d2162f'])
    socket.end()
  })

  test('is shown the certificate that is configured, and checked', async () => {
    const seen: string[] = []
    const hello = (tls: TLSSocket): void => {
      seen.push(`${tls.authorized} ${tls.getPeerCertificate().subject?.CN}`)
    }
    await using database = await databaseThat(echoing(issued, hello))
    const own = folder.put('gateway', await authority.issue({ subject: 'CN=gateway' }))
    const { dialled, heard } = await dial(database.port, 'verify-full', {
      authorities: { key: 'a', path: folder.write('ca', authority.certificate) },
      certificate: {
        file: { key: 'b', path: own.certFile },
        key: { key: 'c', path: own.keyFile },
      },
    })
    socketOf(dialled).write('x')
    await heard()
    expect(seen).toEqual(['true gateway'])
    socketOf(dialled).end()
  })

  test('that cannot be trusted is left before a word is said', async () => {
    const said: string[] = []
    const stranger = await makeAuthority('CN=stranger')
    const pair = await stranger.issue({ subject: 'CN=db', hosts: ['localhost'] })
    const hello = (tls: TLSSocket): void => void tls.on('data', (chunk) => said.push(String(chunk)))
    await using database = await databaseThat(echoing(pair, hello))
    const authorities = { key: 'a', path: folder.write('ca', authority.certificate) }
    const { dialled } = await dial(database.port, 'verify-ca', { authorities })
    expect(causeOf(dialled)).toContain('name the authority that has signed it in sslRootCert')
    expect(said).toEqual([])
  })

  test('that goes by another name is used by verify-ca and left by verify-full', async () => {
    const other = await authority.issue({ subject: 'CN=db', hosts: ['db.example'] })
    await using database = await databaseThat(echoing(other))
    const authorities = { key: 'a', path: folder.write('ca', authority.certificate) }
    const lax = await dial(database.port, 'verify-ca', { authorities })
    socketOf(lax.dialled).terminate()
    const { dialled } = await dial(database.port, 'verify-full', { authorities })
    expect(causeOf(dialled)).toContain('is not for localhost but for DNS:db.example')
  })
})

describe('a database without TLS', () => {
  const refusing: Answers = (socket) => {
    socket.write('N')
    socket.on('data', (chunk) => void socket.write(chunk))
  }

  test('is refused where it is required, with the cure', async () => {
    await using database = await databaseThat(refusing)
    const { dialled } = await dial(database.port, 'require')
    expect(causeOf(dialled)).toBe(
      'it has no TLS, which sslMode demands; set ssl = on there, or another sslMode here',
    )
  })

  test('is used as it is where TLS is only preferred, on the same connection', async () => {
    await using database = await databaseThat(refusing)
    const { dialled, heard } = await dial(database.port, 'prefer')
    socketOf(dialled).write('in plain')
    expect(await heard()).toBe('in plain')
    expect(database.sockets).toHaveLength(1)
    socketOf(dialled).end()
  })

  test('is used by another connection where its TLS does not work', async () => {
    let asked = 0
    await using database = await databaseThat((socket, request) => {
      asked += 1
      if (request.length === 8) return socket.end('Sno TLS at all')
      return socket.end(request)
    })
    const { dialled, heard } = await dial(database.port, 'prefer')
    socketOf(dialled).write('then in plain')
    expect(await heard()).toBe('then in plain')
    expect(asked).toBe(2)
  })
})

describe('an answer', () => {
  const answers: Readonly<Record<string, readonly [string | null, string]>> = {
    'that has more behind it': ['Sx', 'bytes follow its answer about TLS'],
    'that no PostgreSQL gives': ['H', 'it answers as no PostgreSQL does'],
    'that is an error': [
      'EFATAL:  too many\u0001 clients\0',
      'instead of TLS it answers: FATAL: too many clients',
    ],
    'that never comes, for it has closed': ['', 'it closed the connection when it was asked'],
    'that never comes': [null, 'no connection within 150 ms'],
  }
  for (const [which, [answer, cause]] of Object.entries(answers)) {
    test(`${which} is a failed dial that says so`, async () => {
      await using database = await databaseThat((socket) => {
        if (answer !== null) socket.end(answer)
      })
      const { dialled } = await dial(database.port, 'require', {}, { dialTimeoutMs: 150 })
      expect(causeOf(dialled).replaceAll(/ +/g, ' ')).toContain(cause)
    })
  }

  test('of nobody is a failed dial too', async () => {
    const { dialled } = await dial(1, 'require')
    expect(causeOf(dialled)).toContain('ECONNREFUSED')
  })

  test('that stalls in the handshake ends in time, and the connection with it', async () => {
    const ended = Promise.withResolvers<void>()
    await using database = await databaseThat((socket) => {
      socket.write('S')
      socket.on('close', () => ended.resolve())
      socket.on('end', () => socket.end())
    })
    const { dialled } = await dial(database.port, 'require', {}, { dialTimeoutMs: 100 })
    expect(causeOf(dialled)).toContain('within 100 ms')
    await ended.promise
  })
})
