/** What the data path counts, as plain numbers: metrics read them when a page is asked for. */
import { NamedCounts } from '../metrics/named-counts.ts'

export const TLS_VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const
/**
 * - `handshake`: no TLS, or none that both sides speak
 * - `timeout`: not finished within handshakeTimeout
 * - `closed`: one side has closed meanwhile
 * - `alpn`: the client began with TLS itself and did not name the protocol
 * - `certificate`: the certificate of the client is missing or not to be trusted
 */
export const TLS_FAILURES = ['handshake', 'timeout', 'closed', 'alpn', 'certificate'] as const

export type TlsFailure = (typeof TLS_FAILURES)[number]

/** What TLS to clients counts. */
export interface TlsAccount {
  /** Handshakes that led to a session, by version. */
  readonly connections: NamedCounts<string>
  readonly failures: NamedCounts<TlsFailure>
  /** Clients refused because of `requireTLS`. */
  unencrypted: number
  certificatesReloaded: number
  /** Changed certificates, or keys, that could not be used. */
  certificatesRefused: number
}

/**
 * Why a datagram went no further:
 * - `queue`: as many as are held wait for a step, or for the server, already
 * - `full`: the kernel takes no more now
 * - `size`: it is longer than a datagram can be
 * - `denied`: a plugin refused it
 * - `refused`: there is no place for another session, or a plugin or no server would have it
 * - `draining`: it is of a new client, and the gateway is shutting down
 */
export const DATAGRAM_DROPS = ['queue', 'full', 'size', 'denied', 'refused', 'draining'] as const
export type DatagramDrop = (typeof DATAGRAM_DROPS)[number]

/** What a listener for datagrams counts beside sessions and bytes. */
export interface DatagramAccount {
  fromClient: number
  toServer: number
  fromServer: number
  toClient: number
  readonly dropped: NamedCounts<DatagramDrop>
}

export function newDatagramAccount(): DatagramAccount {
  const dropped = new NamedCounts<DatagramDrop>(DATAGRAM_DROPS)
  return { fromClient: 0, toServer: 0, fromServer: 0, toClient: 0, dropped }
}

export interface Account {
  readonly tls: TlsAccount
  /** Null where clients do not speak in datagrams. */
  datagrams: DatagramAccount | null

  sessionsOpen: number
  sessionsTotal: number
  /** Refused because of `sessionsMax`. */
  sessionsRefused: number
  bytesFromClient: number
  bytesToServer: number
  bytesFromServer: number
  bytesToClient: number
  /** Sessions closed for bytes that were not of the protocol. */
  violations: number
  loginTimeouts: number
  /** Clients that the gateway itself did not let in. */
  loginsRefused: number
  idleTimeouts: number
  /** Sessions whose server connection had lived for as long as it may. */
  receiveDeadlines: number
  /** Sessions whose server owed a reply for too long, and said nothing. */
  receiveTimeouts: number
  /** Sessions whose server took no bytes for too long. */
  sendDeadlines: number
  upstreamFailures: number
  /** Sessions that went on to another block because theirs could not be reached. */
  failovers: number
  cancelRequests: number
  /** Sessions that a reload ended, because they could not go over to what it built. */
  expelled: number
  /** Sessions ended because something inside went wrong. */
  internalErrors: number
}

export function newAccount(): Account {
  return {
    tls: {
      connections: new NamedCounts<string>(TLS_VERSIONS),
      failures: new NamedCounts(TLS_FAILURES),
      unencrypted: 0,
      certificatesReloaded: 0,
      certificatesRefused: 0,
    },
    datagrams: null,
    sessionsOpen: 0,
    sessionsTotal: 0,
    sessionsRefused: 0,
    bytesFromClient: 0,
    bytesToServer: 0,
    bytesFromServer: 0,
    bytesToClient: 0,
    violations: 0,
    loginTimeouts: 0,
    loginsRefused: 0,
    idleTimeouts: 0,
    receiveDeadlines: 0,
    receiveTimeouts: 0,
    sendDeadlines: 0,
    upstreamFailures: 0,
    failovers: 0,
    cancelRequests: 0,
    expelled: 0,
    internalErrors: 0,
  }
}
