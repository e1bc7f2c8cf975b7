// A test process that hangs: it has a container that runs, says where, and does nothing more until it is killed.
import { Room } from './room.ts';

const room = await Room.make();
await room.start(['guest', 'wait']);
console.log(JSON.stringify({ directory: room.directory, cgroup: room.world.cgroup }));
setInterval(() => {}, 60_000);
