import { expect, test } from 'bun:test'
import { createServer } from 'node:net'
import { freePort } from './free-port.ts'

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
