/** Gateways that know nothing of each other, and yet send each client to the same block. */
import { expect, setDefaultTimeout, test } from 'bun:test'
import { once } from 'node:events'
import { connect, createServer, type Server } from 'node:net'
import { type RunningGateway, startGateway } from '../kit/gateway.ts'

setDefaultTimeout(30_000)

const BLOCKS = ['east', 'north', 'west'] as const
const CLIENTS = Array.from({ length: 40 }, (_, index) => `127.0.0.${index + 2}`)

/** A server that says its name to whoever connects. */
async function startNamed(name: string): Promise<Server & { readonly port: number }> {
  const server = createServer((socket) => socket.on('error', () => {}).end(name))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { readonly port: number }
  return Object.assign(server, { port })
}

/** Which server a client of this address comes to. */
async function serverOf(gateway: RunningGateway, localAddress: string): Promise<string> {
  const socket = connect({ host: gateway.host, port: gateway.port, localAddress })
  const [name] = await once(socket, 'data')
  socket.destroy()
  return String(name)
}

/** `order`: that of the blocks in the file, which must not matter. */
function start(ports: Readonly<Record<string, number>>, order: readonly string[]) {
  const blocks = order.map((name) => [name, { address: `127.0.0.1:${ports[name]}`, retries: 0 }])
  return startGateway({
    config: {
      servers: {
        default: { protocol: 'raw', loadBalancer: { consistentHash: { useSourceIp: true } } },
      },
      clients: { default: Object.fromEntries(blocks) },
      drainTimeout: '100ms',
    },
  })
}

test('two gateways send each client to the same block, also when one has gone', async () => {
  const servers = new Map<string, Awaited<ReturnType<typeof startNamed>>>()
  for (const name of BLOCKS) servers.set(name, await startNamed(name))
  const ports = Object.fromEntries([...servers].map(([name, { port }]) => [name, port]))
  const gateways = await Promise.all([start(ports, BLOCKS), start(ports, BLOCKS.toReversed())])
  const ask = (gateway: RunningGateway): Promise<string[]> =>
    Promise.all(CLIENTS.map((address) => serverOf(gateway, address)))
  const [one, other] = await Promise.all(gateways.map(ask))
  expect(one).toEqual(other!)
  expect(new Set(one)).toEqual(new Set(BLOCKS))
  expect(await ask(gateways[0]!)).toEqual(one!)
  servers.get('north')?.close()
  const after = await Promise.all(gateways.map(ask))
  expect(after[0]).toEqual(after[1]!)
  for (const [index, name] of one!.entries()) {
    if (name === 'north') expect(after[0]![index]).not.toBe('north')
    else expect(after[0]![index]).toBe(name)
  }
  for (const gateway of gateways) expect((await gateway.stop()).status).toBe(0)
  for (const server of servers.values()) server.close()
})
