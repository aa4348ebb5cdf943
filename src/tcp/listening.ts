/** What accepts the clients of one server group: for streams, or for datagrams. */
import { Listener } from './listener.ts'
import type { ListenerOptions } from './surroundings.ts'
import { DatagramListener } from './udp/datagram-listener.ts'

export type Listening = Listener | DatagramListener

/** The one that is `known`, where it can go on with these options; else a new one. */
export function newListener(options: ListenerOptions, known: Listening | null): Listening {
  const isDatagrams = options.address.network === 'udp'
  if (known !== null && known instanceof DatagramListener === isDatagrams) return known
  return isDatagrams ? new DatagramListener(options) : new Listener(options)
}
