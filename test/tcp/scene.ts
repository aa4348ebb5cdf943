/** A service before a fake server, and clients that are logged in through it. */
import { concat, startup } from '../kit/frontend.ts'
import { type Service, type ServiceOptions, startService } from '../kit/service.ts'
import { connectWire, type Wire } from '../kit/wire.ts'
import { server as says } from '../protocols/postgres/stage.ts'
import { type FakeConnection, type FakeServer, startFakeServer } from './fake-server.ts'

export const ANN = startup({ user: 'ann', database: 'shop' })
export const GREETING = concat(says.authentication(0), says.key(7, 9), says.ready())

/** Both ends of one session. */
export interface Ends {
  readonly wire: Wire
  readonly server: FakeConnection
}

export interface Scene {
  readonly service: Service
  readonly server: FakeServer
  connect(): Promise<Wire>
  /** A session that is logged in. */
  logIn(): Promise<Ends>
  [Symbol.asyncDispose](): Promise<void>
}

/** `others`: ports of the servers of further blocks, `reads1` and so on. */
export type SceneOptions = Partial<ServiceOptions> & { readonly others?: readonly number[] }

export async function setScene(options: SceneOptions = {}): Promise<Scene> {
  const server = await startFakeServer()
  const service = startService({ upstreams: [server.port, ...(options.others ?? [])], ...options })
  const wires: Wire[] = []
  const connect = async (): Promise<Wire> => {
    const wire = await connectWire({ host: '127.0.0.1', port: service.port })
    wires.push(wire)
    return wire
  }
  return {
    service,
    server,
    connect,
    async logIn() {
      const wire = await connect()
      wire.send(ANN)
      const end = await server.next()
      await end.read(ANN.length)
      end.send(GREETING)
      await wire.readUntil('ReadyForQuery')
      return { wire, server: end }
    },
    async [Symbol.asyncDispose]() {
      for (const wire of wires) wire.destroy()
      await service.stop()
      await server[Symbol.asyncDispose]()
    },
  }
}
