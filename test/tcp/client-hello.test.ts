/** The name in a client's first message of TLS, as clients of two libraries send it. */
import { describe, expect, test } from 'bun:test'
import { createServer } from 'node:net'
import { type ConnectionOptions, connect } from 'node:tls'
import { serverNameIn } from '../../src/tcp/client-hello.ts'

/** The first bytes that a client sends. */
async function helloOf(options: ConnectionOptions): Promise<Uint8Array> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array>()
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', (chunk: Buffer) => {
      resolve(new Uint8Array(chunk))
      socket.destroy()
    })
  })
  await new Promise<void>((listening) => void server.listen(0, '127.0.0.1', listening))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const client = connect({ host: '127.0.0.1', port, ...options })
  client.on('error', () => {})
  const hello = await promise
  client.destroy()
  server.close()
  return hello
}

/** The same message in records of a few bytes each. */
function inRecords(hello: Uint8Array, bytes: number): Uint8Array {
  const content = hello.subarray(5)
  const records: Uint8Array[] = []
  for (let at = 0; at < content.length; at += bytes) {
    const part = content.subarray(at, at + bytes)
    records.push(Uint8Array.of(22, 3, 1, part.length >> 8, part.length & 255), part)
  }
  return Buffer.concat(records)
}

describe('a name', () => {
  test('is found in lower case, or found missing', async () => {
    const named = await helloOf({ servername: 'DB.example.org' })
    expect(serverNameIn(named)).toEqual({ kind: 'named', name: 'db.example.org' })
    const older = await helloOf({ servername: 'a.b', maxVersion: 'TLSv1.2' })
    expect(serverNameIn(older)).toEqual({ kind: 'named', name: 'a.b' })
    const nameless = await helloOf({ servername: '' })
    expect(serverNameIn(nameless)).toEqual({ kind: 'named', name: null })
  })

  test('is awaited as long as the message is cut, wherever that is', async () => {
    const hello = await helloOf({ servername: 'db.example.org' })
    for (let length = 0; length < hello.length; length++) {
      expect(serverNameIn(hello.subarray(0, length))).toEqual({ kind: 'more' })
    }
  })

  test('is found in a message of many records', async () => {
    const hello = await helloOf({ servername: 'db.example.org' })
    for (const bytes of [1, 3, 100]) {
      expect(serverNameIn(inRecords(hello, bytes))).toEqual({
        kind: 'named',
        name: 'db.example.org',
      })
    }
  })
})

describe('what is no such message', () => {
  test('is known at once', () => {
    expect(serverNameIn(new TextEncoder().encode('GET / HTTP/1.1'))).toEqual({ kind: 'none' })
    expect(serverNameIn(Uint8Array.of(22, 3, 1, 0, 0))).toEqual({ kind: 'none' })
    expect(serverNameIn(Uint8Array.of(22, 3, 1, 0, 4, 2, 0, 0, 0))).toEqual({ kind: 'none' })
  })

  test('may be of any length, but not awaited for ever', () => {
    expect(serverNameIn(Uint8Array.of(22, 3, 1, 0, 4, 1, 255, 255, 255))).toEqual({ kind: 'none' })
    const empty = inRecords(new Uint8Array(70_005).fill(1), 1000)
    expect(serverNameIn(empty).kind).toBe('none')
  })

  test('with random changes is never more than a refusal', async () => {
    const hello = await helloOf({ servername: 'db.example.org' })
    for (let round = 0; round < 5000; round++) {
      const changed = hello.slice(0, Math.ceil(Math.random() * hello.length))
      const at = Math.floor(Math.random() * changed.length)
      changed[at] = Math.floor(Math.random() * 256)
      expect(['more', 'named', 'none']).toContain(serverNameIn(changed).kind)
    }
  })
})
