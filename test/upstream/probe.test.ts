/** A server that is there, one that is not, and one that only looks as if it were. */
// The certificate library refuses to load without this, whoever loads it first.
import '../../src/plugins/grpc/metadata.ts'
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import type { Address } from '../../src/base/address.ts'
import { makeIdentity } from '../../src/plugins/grpc/cert.ts'
import { PROBE_QUESTION } from '../../src/protocols/postgres/startup.ts'
import { type Probed, type ProbeOptions, probe } from '../../src/upstream/probe.ts'
import { freePort } from '../kit/free-port.ts'
import { sslRequest } from '../kit/frontend.ts'

const ANSWERED: Probed = { kind: 'answered' }
const failed = (cause: string): Probed => ({ kind: 'failed', cause })

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-probe-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

/** A server on a Unix socket that does this with each connection. */
async function serverThat(accepts: (socket: Socket) => void) {
  const path = join(folder, `${crypto.randomUUID().slice(0, 8)}.sock`)
  const sockets: Socket[] = []
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    accepts(socket)
  })
  await new Promise<void>((listening) => void server.listen(path, listening))
  const address: Address = { network: 'unix', path }
  return {
    address,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((closed) => void server.close(() => closed()))
    },
  }
}

function ask(address: Address, options: Partial<ProbeOptions> = {}, aborted?: AbortSignal) {
  const asked = { address, timeoutMs: 5000, question: PROBE_QUESTION, ...options }
  return probe(asked, aborted ?? new AbortController().signal)
}

describe('an answer', () => {
  test('is asked for by an SSLRequest, and a no leaves the server in good order', async () => {
    const question = Promise.withResolvers<Uint8Array>()
    const ended = Promise.withResolvers<void>()
    await using server = await serverThat((socket) => {
      socket.on('data', (chunk) => {
        question.resolve(Buffer.from(chunk))
        socket.write('N')
      })
      socket.on('end', () => ended.resolve())
    })
    expect(await ask(server.address)).toEqual(ANSWERED)
    expect(await question.promise).toEqual(Buffer.from(sslRequest()))
    await ended.promise
  })

  test('of yes is followed by a handshake, which the server would miss', async () => {
    const { certificate, key } = await makeIdentity()
    const secured = Promise.withResolvers<string>()
    const ended = Promise.withResolvers<void>()
    const encrypted = createTlsServer({ cert: certificate, key }, (socket) => {
      secured.resolve(socket.getProtocol() ?? '')
      socket.on('end', () => ended.resolve())
      socket.resume()
    })
    await using server = await serverThat((socket) => {
      socket.once('data', () => {
        encrypted.emit('connection', socket)
        socket.write('S')
      })
    })
    expect(await ask(server.address)).toEqual(ANSWERED)
    expect(await secured.promise).toBe('TLSv1.3')
    await ended.promise
  })

  test('of yes is one even where no handshake comes of it', async () => {
    await using hangs = await serverThat(
      (socket) => void socket.once('data', () => socket.write('S')),
    )
    expect(await ask(hangs.address, { timeoutMs: 50 })).toEqual(ANSWERED)
    await using closes = await serverThat(
      (socket) => void socket.once('data', () => socket.end('S')),
    )
    expect(await ask(closes.address)).toEqual(ANSWERED)
  })

  test('is not needed where there is no question', async () => {
    const ended = Promise.withResolvers<void>()
    await using server = await serverThat((socket) => {
      socket.on('end', () => ended.resolve())
      socket.resume()
    })
    expect(await ask(server.address, { question: null })).toEqual(ANSWERED)
    await ended.promise
  })
})

describe('a server is not there', () => {
  test('where nobody listens', async () => {
    const port = await freePort()
    expect(await ask({ network: 'tcp', host: '127.0.0.1', port })).toEqual(failed('ECONNREFUSED'))
    const path = join(folder, 'nothing.sock')
    expect(await ask({ network: 'unix', path })).toEqual(failed('ENOENT'))
  })

  test('that accepts and does not answer', async () => {
    await using server = await serverThat((socket) => void socket.resume())
    expect(await ask(server.address, { timeoutMs: 50 })).toEqual(failed('no answer within 50 ms'))
  })

  test('that closes without an answer, or answers something else', async () => {
    await using closes = await serverThat((socket) => void socket.end())
    expect(await ask(closes.address)).toEqual(failed('it closed the connection without an answer'))
    await using talks = await serverThat((socket) => void socket.write('HTTP/1.1 400'))
    expect(await ask(talks.address)).toEqual(failed('it answered "H"'))
  })
})

describe('a probe that nobody wants any more', () => {
  /** A server that says when it is asked, when it is left, and answers when the test says so. */
  async function asked() {
    const question = Promise.withResolvers<Socket>()
    const left = Promise.withResolvers<string>()
    const server = await serverThat((socket) => {
      socket.once('data', () => question.resolve(socket))
      socket.on('end', () => left.resolve('in good order'))
      socket.on('close', () => left.resolve('at once'))
    })
    const wanting = new AbortController()
    const probed = ask(server.address, {}, wanting.signal)
    const socket = await question.promise
    wanting.abort()
    return { server, socket, probed, left: left.promise }
  }

  test('still hears the answer that it asked for', async () => {
    const { server, socket, probed, left } = await asked()
    socket.write('N')
    expect(await probed).toEqual(ANSWERED)
    expect(await left).toBe('in good order')
    await server[Symbol.asyncDispose]()
  })

  test('does not wait long for it', async () => {
    const { server, probed } = await asked()
    expect(await probed).toEqual(failed('given up'))
    await server[Symbol.asyncDispose]()
  })

  test('ends at once where it was not asked yet', async () => {
    const wanting = new AbortController()
    await using server = await serverThat(() => {})
    const probed = ask(server.address, {}, wanting.signal)
    wanting.abort()
    expect(await probed).toEqual(failed('given up'))
  })
})
