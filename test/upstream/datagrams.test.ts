/** A socket to a server of datagrams, and what a probe takes for an answer. */
import { describe, expect, test } from 'bun:test'
import { parseAddress } from '../../src/base/address.ts'
import { dialDatagrams, probeDatagrams } from '../../src/upstream/datagrams.ts'
import { startDatagramServer } from '../kit/datagrams.ts'
import { until } from '../kit/traffic.ts'

const at = (text: string) => parseAddress(text, 'udp')!
const still = new AbortController().signal

describe('a socket', () => {
  test('hears answers of its server, which may be named', async () => {
    const server = await startDatagramServer()
    const heard: string[] = []
    const socket = await dialDatagrams(at(`localhost:${server.port}`), {
      heard: (datagram) => void heard.push(Buffer.from(datagram).toString()),
      failed() {},
    })
    socket.send('a')
    await until('it is heard', () => heard.length === 1)
    expect(heard).toEqual(['a'])
    socket.close()
    server.stop()
  })

  test('is told where nobody listens', async () => {
    const server = await startDatagramServer()
    server.stop()
    let cause = ''
    const socket = await dialDatagrams(at(`127.0.0.1:${server.port}`), {
      heard() {},
      failed: (why) => {
        cause = why
      },
    })
    socket.send('a')
    await until('it is told', () => cause !== '')
    expect(cause).toBe('ECONNREFUSED')
    socket.close()
  })

  test('is not made for a name that nobody knows', async () => {
    const handlers = { heard() {}, failed() {} }
    expect(dialDatagrams(at('no.such.name.invalid:53'), handlers)).rejects.toThrow()
  })
})

describe('a probe', () => {
  const ask = (address: string) =>
    probeDatagrams({ address: at(address), timeoutMs: 200, question: null }, still)

  test('is answered by who says something, and by who is silent', async () => {
    for (const answer of [() => 'yes', () => null]) {
      const server = await startDatagramServer(answer)
      expect(await ask(`127.0.0.1:${server.port}`)).toEqual({ kind: 'answered' })
      expect(server.heard).toEqual([''])
      server.stop()
    }
  })

  test('fails where nobody listens, and where the name is not known', async () => {
    const server = await startDatagramServer()
    server.stop()
    const refused = { kind: 'failed', cause: 'ECONNREFUSED' } as const
    expect(await ask(`127.0.0.1:${server.port}`)).toEqual(refused)
    expect((await ask('no.such.name.invalid:53')).kind).toBe('failed')
  })
})
