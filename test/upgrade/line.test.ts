/** The line between two processes: messages come whole and in order, and its end is noticed. */
import { expect, test } from 'bun:test'
import { descriptorPair } from '../../src/tcp/descriptor-channel.ts'
import { Line } from '../../src/upgrade/line.ts'
import { until } from '../kit/traffic.ts'

async function ends() {
  const { near, far } = descriptorPair()
  const made = [near, far].map((descriptor) => {
    const heard: unknown[] = []
    const told = { closed: 0 }
    const line = new Line({
      heard: (message) => heard.push(message),
      closed: () => {
        told.closed += 1
      },
    })
    return { heard, told, line, descriptor }
  })
  const [one, other] = made
  return { one: one!, other: other! }
}

test('what is said before it is open is heard, in order, however much it is', async () => {
  const { one, other } = await ends()
  const long = 'x'.repeat(400_000)
  for (const text of ['first', long, 'ünd']) one.line.send({ text })
  await one.line.open(one.descriptor)
  await other.line.open(other.descriptor)
  one.line.send({ text: 'last' })
  await until('all has come', () => other.heard.length === 4)
  expect(other.heard).toEqual(['first', long, 'ünd', 'last'].map((text) => ({ text })))
  other.line.send(null)
  await until('an answer has come', () => one.heard.length === 1)
  one.line.close()
  await until('the other knows', () => other.told.closed === 1)
  other.line.send('nobody hears this')
  other.line.close()
  expect([one.told.closed, other.told.closed]).toEqual([1, 1])
  expect(other.line.isClosed).toBe(true)
})

test('what is no JSON is no message, and a line without an end is the end', async () => {
  const { one, other } = await ends()
  const raw = await Bun.connect({
    ...{ fd: one.descriptor, hostname: '', port: 0 },
    socket: { data() {} },
  })
  await other.line.open(other.descriptor)
  raw.write('{"half\n')
  await until('it has come', () => other.heard.length === 1)
  expect(other.heard).toEqual([null])
  const chunk = 'y'.repeat(64 * 1024)
  while (!other.line.isClosed) {
    raw.write(chunk)
    await Bun.sleep(1)
  }
  expect(other.told.closed).toBe(1)
  raw.terminate()
})

test('what is no socket is refused', async () => {
  const { line } = (await ends()).one
  expect(line.open(1_000_000)).rejects.toThrow()
})
