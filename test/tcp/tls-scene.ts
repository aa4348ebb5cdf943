/** A service that offers TLS to clients, with certificates made for it. */
import { pino } from 'pino'
import { globalSchema } from '../../src/config/schema.ts'
import type { TlsAccount } from '../../src/tcp/account.ts'
import type { TlsOptions } from '../../src/tcp/tls.ts'
import { tlsOptionsOf } from '../../src/tcp/tls-options.ts'
import {
  type Authority,
  makeAuthority,
  makePemFolder,
  type PemFolder,
} from '../kit/certificates.ts'
import { connectTls, type TlsClientOptions, type TlsWire } from '../kit/tls-wire.ts'
import { inTime } from './fake-server.ts'
import { ANN, GREETING, type Scene, type SceneOptions, setScene } from './scene.ts'

export interface TlsScene extends Scene {
  readonly folder: PemFolder
  /** It has signed the certificate of the service, and signs those of clients. */
  readonly authority: Authority
  readonly account: TlsAccount
  /** Connects by TLS; rejects with what the handshake fails with. */
  secure(options?: TlsClientOptions): Promise<TlsWire>
}

/** `keys`: of the server, over those that offer TLS; `PEM/` in a value stands for the folder. */
export async function setTlsScene(
  keys: Readonly<Record<string, unknown>> = {},
  options: SceneOptions = {},
): Promise<TlsScene> {
  const folder = makePemFolder()
  const authority = await makeAuthority()
  folder.write('authority.crt', authority.certificate)
  folder.put('server', await authority.issue({ subject: 'CN=localhost', hosts: ['localhost'] }))
  folder.put('sales', await authority.issue({ subject: 'CN=sales', hosts: ['sales.example'] }))
  const scene = await setScene({ tls: offered(folder, keys), ...options })
  const wires: TlsWire[] = []
  return {
    ...scene,
    folder,
    authority,
    account: scene.service.account.tls,
    async secure(client = {}) {
      const address = { host: '127.0.0.1', port: scene.service.port }
      const wire = await connectTls(address, { servername: 'localhost', ...client })
      wires.push(wire)
      return wire
    },
    async [Symbol.asyncDispose]() {
      for (const { wire } of wires) wire.destroy()
      await scene[Symbol.asyncDispose]()
      folder[Symbol.dispose]()
    },
  }
}

/** What a service is given, by way of the keys that an operator writes. */
function offered(folder: PemFolder, keys: Readonly<Record<string, unknown>>) {
  const all = { enableTLS: true, certFile: 'PEM/server.crt', keyFile: 'PEM/server.key', ...keys }
  const written = JSON.parse(JSON.stringify(all).replaceAll('PEM/', `${folder.path}/`))
  const groups = { default: {} }
  const { servers } = globalSchema.parse({
    loggers: groups,
    metrics: groups,
    clients: { default: {} },
    pools: { default: {} },
    proxies: { default: {} },
    servers: { default: written },
  })
  return (account: TlsAccount): TlsOptions =>
    tlsOptionsOf('default', servers.default, account, pino({ level: 'silent' }))!
}

/** A session that is logged in over TLS. */
export async function logInOver(scene: TlsScene, options: TlsClientOptions = {}) {
  const { wire, tls } = await scene.secure(options)
  wire.send(ANN)
  const server = await scene.server.next()
  await server.read(ANN.length)
  server.send(GREETING)
  await wire.readUntil('ReadyForQuery')
  return { wire, tls, server }
}

/** Resolves when the service has no session left. */
export async function emptied({ service }: TlsScene): Promise<void> {
  const empty = async (): Promise<void> => {
    while (service.listener.sessions > 0) await Bun.sleep(5)
  }
  await inTime('the end of every session', empty())
}
