import { createEdge } from "./edge.ts";
import { runtime } from "./world.ts";

export type { Env } from "./config.ts";

export default createEdge(runtime);
