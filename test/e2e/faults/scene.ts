/** What tests of faults share: a gateway that must be, after each fault, what it was before. */
import { readdirSync, readFileSync } from 'node:fs'
import { freePort } from '../../kit/free-port.ts'
import type { RunningGateway } from '../../kit/gateway.ts'
import { memoryOf, metric, until } from '../../kit/traffic.ts'
import { connectWire, type Wire, type WireAddress } from '../../kit/wire.ts'
import { ANN, GREETING } from '../../tcp/scene.ts'

/** What a fault may leave behind in memory: the engine gives little back at once. */
const GROWTH_BYTES_MAX = 60e6

/** A gateway while nobody is connected. */
export interface Weight {
  readonly descriptors: number
  readonly bytes: number
}

/** Descriptors that a process has open now. */
export function descriptorsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}

/** Processor time that a process has used, in milliseconds; the system counts in steps of ten. */
export function processorMsOf(pid: number): number {
  // The second field is the name of the program, in parentheses.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}

export async function weigh(gateway: RunningGateway): Promise<Weight> {
  // The connection that asks for the metrics stays, and is there at the next look too.
  await metric(gateway, 'postern_sessions_open')
  return { descriptors: descriptorsOf(gateway.pid), bytes: memoryOf(gateway.pid).now }
}

/** Throws where sessions, descriptors or much memory are left, or where something broke inside. */
export async function mustBeUnharmed(
  gateway: RunningGateway,
  before: Weight,
  growthBytesMax = GROWTH_BYTES_MAX,
): Promise<void> {
  const count = (name: string) => metric(gateway, `postern_${name}`)
  await until('no session is left', async () => (await count('sessions_open')) === 0)
  await until(
    `${before.descriptors} descriptors are open`,
    () => descriptorsOf(gateway.pid) <= before.descriptors,
  )
  // Each look makes it work a little, and so collect what nobody needs any more.
  await until(`it has grown by ${growthBytesMax} bytes at most`, async () => {
    await count('sessions_open')
    return memoryOf(gateway.pid).now - before.bytes <= growthBytesMax
  })
  const wrong = {
    errors: await count('internal_errors_total'),
    held: await count('buffered_bytes'),
  }
  if (wrong.errors + wrong.held > 0) throw new Error(`${JSON.stringify(wrong)}:\n${gateway.log()}`)
}

/** A client that has sent its startup packet. */
export async function beginSession(at: WireAddress): Promise<Wire> {
  const wire = await connectWire(at)
  wire.send(ANN)
  return wire
}

/** A server in a process of its own that greets every client and answers every query at once. */
export interface Stub extends WireAddress {
  readonly pid: number
  [Symbol.asyncDispose](): Promise<void>
}

const STUB = `
const greeting = Buffer.from('${Buffer.from(GREETING).toString('hex')}', 'hex')
const reply = Buffer.from('430000000d53454c454354203100' + '5a0000000549', 'hex')
Bun.listen({
  hostname: '127.0.0.1',
  port: Number(process.argv.at(-1)),
  socket: {
    open(socket) { socket.data = false },
    data(socket, chunk) {
      if (!socket.data) socket.write(greeting)
      else if (chunk[0] === 0x51) socket.write(reply)
      else socket.end()
      socket.data = true
    },
  },
})
process.stdout.write('listening')
`

export async function startStub(): Promise<Stub> {
  const port = await freePort()
  const child = Bun.spawn([process.execPath, '-e', STUB, String(port)], {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'inherit',
  })
  child.unref()
  const { value } = await child.stdout.getReader().read()
  if (value === undefined) throw new Error(`the stub has ended with ${await child.exited}`)
  return {
    host: '127.0.0.1',
    port,
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await child.exited
    },
  }
}
