/** The admin HTTP server: metrics for Prometheus, health for whoever decides about traffic. */
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { Logger } from 'pino'
import { type Address, hostPort, parseAddress } from '../base/address.ts'
import type { CertificatePair } from '../base/certificates.ts'
import { GatewayError, sentenceOf } from '../base/errors.ts'
import { settlesIn } from '../base/settles.ts'
import { EXPOSITION_TYPE } from '../metrics/exposition.ts'

/** Has a server of Bun's listen at an address, or on a socket that another process has made. */
export interface ServerSockets {
  openServer<Server extends { stop(force?: boolean): unknown }>(
    address: TcpAddress,
    serve: (place: ServerPlace) => Server,
    place: string,
  ): OpenServer<Server>
}

type TcpAddress = Address & { readonly network: 'tcp' }
type ServerPlace = { readonly hostname: string; readonly port: number } | { readonly unix: string }

interface OpenServer<Server> {
  readonly server: Server
  /** With the port that was really taken. */
  readonly address: TcpAddress
  /** Another process answers in place of this one. */
  readonly isHandedOn: boolean
  /** To be called when the server is stopped. */
  forget(): void
}

export interface AdminHttpOptions {
  /** `host:port`; without a host on every address of the machine. */
  readonly address: string
  /** Where the metrics stand, such as `/metrics`. */
  readonly path: string
  /** The metrics as Prometheus text. */
  readonly page: () => Promise<string>
  /** Why the gateway is not well, or nothing; told at `/healthz`. */
  readonly healthy: () => readonly string[]
  /** Why no clients should be sent here, or nothing; told at `/readyz`. */
  readonly ready: () => readonly string[]
  readonly log: Logger
  /** The page is served over HTTPS with this certificate; left out: over HTTP. */
  readonly tls?: CertificatePair | null
  /** The configuration's key for the address and the path, for errors. */
  readonly key?: string
  /** Left out: the server listens on a socket of its own. */
  readonly sockets?: ServerSockets
}

export interface AdminHttp {
  /** `host:port` as it was bound. */
  readonly address: string
  /** Shows the metrics at another path from now on, which `refusePath` must have let pass. */
  moveTo(path: string): void
  /** The same with its scheme. */
  readonly url: string
  /** Idempotent; breaks off what is being answered. */
  stop(): Promise<void>
}

/** How long one who has connected may take to ask, and we to answer, once we are replaced. */
const ASKED_WITHIN_MS = 500
const ANSWERED_WITHIN_MS = 2000
const EVERYWHERE = '0.0.0.0'
const HEALTH = '/healthz'
const READINESS = '/readyz'
const REQUEST_BYTES_MAX = 4096
const IDLE_SECONDS_MAX = 10
/** Below this a page is not worth compressing. */
const COMPRESSED_BYTES_MIN = 1024

type Route = (request: Request) => Response | Promise<Response>

/** Listens from now on. Throws LISTEN_FAILED or CONFIG_INVALID, naming the key. */
export async function startAdminHttp(options: AdminHttpOptions): Promise<AdminHttp> {
  const key = options.key ?? 'metrics.default'
  refusePath(options.path, key)
  let routes = routesOf(options, options.path)
  const opened = listen(options, `${key}.address`, async (request) => {
    const route = routes.get(new URL(request.url).pathname)
    const response = await answer(request, route)
    // Whoever asks again finds the process that answers now.
    if (opened.isHandedOn) response.headers.set('connection', 'close')
    return response
  })
  const { host, port } = opened.address
  const address = hostPort(host || EVERYWHERE, port)
  return {
    address,
    moveTo: (path) => {
      routes = routesOf(options, path)
    },
    url: `${options.tls ? 'https' : 'http'}://${address}`,
    stop: async () => {
      // Who connected to this process before it was replaced has still to be answered.
      if (opened.isHandedOn) await Bun.sleep(ASKED_WITHIN_MS)
      if (opened.isHandedOn) await settlesIn(ANSWERED_WITHIN_MS, opened.server.stop())
      opened.forget()
      await opened.server.stop(true)
    },
  }
}

function answer(request: Request, route: Route | undefined): Response | Promise<Response> {
  if (route === undefined) return new Response('Not found\n', { status: 404 })
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return new Response('Only GET\n', { status: 405, headers: { allow: 'GET, HEAD' } })
  }
  return route(request)
}

function routesOf(options: AdminHttpOptions, path: string): ReadonlyMap<string, Route> {
  return new Map<string, Route>([
    ['/', () => linkPage(path)],
    [HEALTH, () => healthAnswer(options.healthy())],
    [READINESS, () => healthAnswer(options.ready())],
    [path, (request) => metricsAnswer(request, options)],
  ])
}

/** Throws CONFIG_INVALID where the metrics cannot stand at this path. */
export function refusePath(path: string, key: string): void {
  const wrong = path.startsWith('/') && !/[?#\s]/.test(path) ? takenBy(path) : 'is no path'
  if (wrong === null) return
  const cure = 'choose one such as /metrics'
  throw new GatewayError('CONFIG_INVALID', `${key}.path: "${path}" ${wrong}; ${cure}`)
}

function takenBy(path: string): string | null {
  const taken = path === '/' || path === HEALTH || path === READINESS
  return taken ? 'is taken by another page' : null
}

function listen(options: AdminHttpOptions, key: string, fetch: Route) {
  const address = parseAddress(options.address, 'tcp')
  if (address === null || address.network !== 'tcp') {
    const cure = 'write HOST:PORT, [IPV6]:PORT or :PORT'
    throw new GatewayError('CONFIG_INVALID', `${key}: "${options.address}" is no address; ${cure}`)
  }
  const { sockets = OWN_SOCKETS } = options
  try {
    return sockets.openServer(address, (place) => serve(place, fetch, options), key)
  } catch (cause) {
    throw new GatewayError('LISTEN_FAILED', `${key}: ${whyNot(options.address, cause)}`, { cause })
  }
}

const OWN_SOCKETS: ServerSockets = {
  openServer: (address, serve) => {
    const server = serve({ hostname: address.host || EVERYWHERE, port: address.port })
    const port: unknown = Reflect.get(server, 'port')
    const bound = typeof port === 'number' ? { ...address, port } : address
    return { server, address: bound, isHandedOn: false, forget: () => undefined }
  },
}

function serve(place: ServerPlace, fetch: Route, options: AdminHttpOptions) {
  const { log, tls } = options
  return Bun.serve({
    // Bun shares the port with whoever asks for it where `development` is off.
    ...('unix' in place ? place : { ...place, reusePort: false, idleTimeout: IDLE_SECONDS_MAX }),
    fetch,
    maxRequestBodySize: REQUEST_BYTES_MAX,
    development: false,
    ...(tls ? { tls: { cert: tls.certificate, key: tls.key } } : {}),
    error: (thrown) => {
      log.error(thrown, 'a request to the admin HTTP server failed')
      return new Response('The gateway could not answer; its log says why\n', { status: 500 })
    },
  })
}

function whyNot(address: string, cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  switch (code) {
    case 'EADDRINUSE':
      return `${address} is in use; stop the other program or choose another port`
    case 'EADDRNOTAVAIL':
      return `${address} is no address of this machine; choose one that is, or :PORT for all`
    case 'EACCES':
      return `${address} needs a permission that this user lacks; choose a port above 1023`
    default:
      return `cannot listen on ${address} (${sentenceOf(cause)})`
  }
}

function healthAnswer(reasons: readonly string[]): Response {
  const headers = { 'cache-control': 'no-store' }
  if (reasons.length === 0) return Response.json({ status: 'SERVING' }, { headers })
  return Response.json({ status: 'NOT_SERVING', reasons }, { status: 503, headers })
}

const compress = promisify(gzip)

async function metricsAnswer(request: Request, { page }: AdminHttpOptions): Promise<Response> {
  const text = await page()
  const headers = { 'content-type': EXPOSITION_TYPE, vary: 'accept-encoding' }
  if (text.length < COMPRESSED_BYTES_MIN || !acceptsGzip(request)) {
    return new Response(text, { headers })
  }
  const compressed = await compress(text)
  return new Response(new Uint8Array(compressed), {
    headers: { ...headers, 'content-encoding': 'gzip' },
  })
}

/** A weight of zero means that it is not wanted. */
function acceptsGzip(request: Request): boolean {
  const offers = (request.headers.get('accept-encoding') ?? '').toLowerCase().split(',')
  return offers.some((offer) => {
    const [coding = '', ...parameters] = offer.split(';').map((part) => part.trim())
    const weight = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? '1'
    return (coding === 'gzip' || coding === '*') && Number(weight) > 0
  })
}

function linkPage(path: string): Response {
  const links = [path, HEALTH, READINESS]
    .map((link) => `<li><a href="${escapeHtml(link)}">${escapeHtml(link)}</a></li>`)
    .join('')
  const page =
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Postern</title></head>' +
    `<body><h1>Postern</h1><ul>${links}</ul></body></html>\n`
  return new Response(page, { headers: { 'content-type': 'text/html; charset=utf-8' } })
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
