import { expect, test } from 'bun:test'
import { createServer } from 'node:net'
import { freePort, portsOf } from './free-port.ts'

test('a free port can be listened on, and is never given twice', async () => {
  const ports = new Set<number>()
  for (let turn = 0; turn < 20; turn++) ports.add(await freePort())
  expect(ports.size).toBe(20)

  const [port] = ports
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
  server.close()
})

test('a free port is below the range of outgoing connections', async () => {
  expect(await freePort()).toBeLessThan(32_768)
})

test('processes that share the ports have none in common, and all are below 32768', () => {
  const ranges = [0, 1, 2].map((at) => portsOf(at, 3).split('-').map(Number))
  for (const [at, [from, to]] of ranges.entries()) {
    expect(to! - from!).toBeGreaterThan(5000)
    expect(to!).toBeLessThan(32_768)
    if (at > 0) expect(from).toBe(ranges[at - 1]![1])
  }
})
