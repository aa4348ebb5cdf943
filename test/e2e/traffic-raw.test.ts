import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { freePort } from '../kit/free-port.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { type Behind, metric, mustBeSound, startBefore, until } from '../kit/traffic.ts'

setDefaultTimeout(30_000)

const CLIENTS = 50
const CHUNK_BYTES = 64 * 1024
const CHUNKS = 320
const BANNER = '220 welcome\r\n'

/** A server of this process; `serve` is given every connection. */
async function startServer(serve: (socket: Socket) => void): Promise<Behind & { server: Server }> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {})
    serve(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no address')
  return { host: '127.0.0.1', port: address.port, server }
}

async function open(gateway: RunningGateway): Promise<Socket> {
  const socket = connect({ host: gateway.host, port: gateway.port, allowHalfOpen: true })
  await once(socket, 'connect')
  return socket
}

/** Everything until the other side ends; our own side stays as it is. */
async function readAll(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = []
  socket.on('data', (part) => parts.push(Buffer.from(part)))
  await once(socket, 'end')
  return Buffer.concat(parts)
}

const raw = (behind: Behind): Promise<RunningGateway> =>
  startBefore(behind, { server: { protocol: 'raw' } })

describe('a server that echoes', () => {
  let echo: Behind & { server: Server }
  let gateway: RunningGateway
  beforeAll(async () => {
    echo = await startServer((socket) => socket.pipe(socket))
    gateway = await raw(echo)
  })
  afterAll(async () => {
    await mustBeSound(gateway)
    expect((await gateway.stop()).status).toBe(0)
    echo.server.close()
  })

  test('gives back twenty megabytes of random bytes as they are', async () => {
    const socket = await open(gateway)
    const sent = createHash('sha256')
    const writing = (async () => {
      for (let chunk = 0; chunk < CHUNKS; chunk++) {
        const bytes = crypto.getRandomValues(Buffer.alloc(CHUNK_BYTES))
        sent.update(bytes)
        if (!socket.write(bytes)) await once(socket, 'drain')
      }
      socket.end()
    })()
    const received = await readAll(socket)
    await writing
    expect(received.length).toBe(CHUNKS * CHUNK_BYTES)
    expect(createHash('sha256').update(received).digest('hex')).toBe(sent.digest('hex'))
  })

  test(`gives each of ${CLIENTS} clients its own words, also after it has ended`, async () => {
    const answers = await Promise.all(
      Array.from({ length: CLIENTS }, async (_, number) => {
        const socket = await open(gateway)
        socket.end(`words of ${number}`)
        return (await readAll(socket)).toString()
      }),
    )
    expect(answers).toEqual(answers.map((_, number) => `words of ${number}`))
  })

  test('bytes that any protocol would refuse pass', async () => {
    const socket = await open(gateway)
    const odd = Buffer.from([0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x16, 3, 1])
    socket.end(odd)
    expect(await readAll(socket)).toEqual(odd)
  })
})

test('a server that speaks first is heard before the client says a word', async () => {
  const server = await startServer((socket) => {
    socket.write(BANNER)
    socket.resume().on('end', () => socket.end())
  })
  await using gateway = await raw(server)
  const socket = await open(gateway)
  const [banner] = await once(socket, 'data')
  expect(String(banner)).toBe(BANNER)
  socket.destroy()
  await until('it is gone', async () => (await metric(gateway, 'postern_sessions_open')) === 0)
  server.server.close()
})

test('a server that has ended its side still hears the client', async () => {
  const { promise, resolve } = Promise.withResolvers<string>()
  const server = await startServer((socket) => {
    socket.end(BANNER)
    readAll(socket).then((all) => resolve(all.toString()), String)
  })
  await using gateway = await raw(server)
  const socket = await open(gateway)
  expect((await readAll(socket)).toString()).toBe(BANNER)
  socket.end('heard after the end')
  expect(await promise).toBe('heard after the end')
  server.server.close()
})

test('a server that is not there ends the client without a word', async () => {
  await using gateway = await raw({ host: '127.0.0.1', port: await freePort() })
  const socket = await open(gateway)
  expect((await readAll(socket)).length).toBe(0)
  expect(await metric(gateway, 'postern_upstream_failures_total')).toBe(1)
})

test('on SIGTERM raw clients are cut off after drainTimeout, and it exits with 0', async () => {
  const echo = await startServer((socket) => socket.pipe(socket))
  const gateway = await startBefore(echo, {
    server: { protocol: 'raw' },
    top: { drainTimeout: '300ms' },
  })
  const socket = await open(gateway)
  socket.write('still ')
  await once(socket, 'data')
  const ended = readAll(socket)
  expect(await gateway.stop()).toEqual({ status: 0, signal: null })
  expect((await ended).length).toBe(0)
  echo.server.close()
})
