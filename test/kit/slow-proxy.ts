/** A proxy that delays what a server says, or keeps it: a network that is slow, or hangs. */
import { connect, createServer, type Socket } from 'node:net'
import { freePort } from './free-port.ts'

export interface SlowProxy {
  readonly port: number
  /** Of each chunk from the server; Infinity: nothing comes any more. */
  delayMs: number
  stop(): void
}

export async function startSlowProxy(serverPort: number): Promise<SlowProxy> {
  const port = await freePort()
  const sockets = new Set<Socket>()
  const hold = (socket: Socket): void => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
  }
  const listening = createServer((client) => {
    const server = connect(serverPort, '127.0.0.1')
    hold(client)
    hold(server)
    client.pipe(server)
    server.on('data', (chunk) => {
      if (proxy.delayMs === Number.POSITIVE_INFINITY) return
      setTimeout(() => client.write(chunk), proxy.delayMs)
    })
    server.on('close', () => client.destroy())
  })
  const proxy: SlowProxy = {
    port,
    delayMs: 0,
    stop() {
      listening.close()
      for (const socket of sockets) socket.destroy()
    },
  }
  await new Promise<void>((resolve) => listening.listen(port, '127.0.0.1', resolve))
  return proxy
}
