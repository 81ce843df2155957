/** Draws with WebGL2: the weights of each cell lie in a uniform buffer, and every pixel evaluates its cell's network. */
import { Painter } from "./painter.js";
import { columnsOf, fragment, packed, VERTEX } from "./shader.js";

export class WebGLPainter extends Painter {
  /** Throws an error where there is no WebGL2, or where a network is too large for it. */
  constructor(model, canvas) {
    super(model, canvas);
    const gl = canvas.getContext("webgl2", { alpha: false, antialias: false, depth: false, preserveDrawingBuffer: true });
    if (!gl) throw new Error("this browser has no WebGL2");
    this.gl = gl;
    this.#begin();
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => this.#begin());
  }

  #begin() {
    const { gl } = this;
    this.programs = new Map();
    this.buffer = gl.createBuffer();
    this.unit = gl.getParameter(gl.UNIFORM_BUFFER_OFFSET_ALIGNMENT) / 4;
    const most = gl.getParameter(gl.MAX_UNIFORM_BLOCK_SIZE) / 16;
    const { plain, detail } = this.model.renderers;
    for (const { config } of [plain, ...(detail ? [detail] : [])])
      if (columnsOf(config) > most) throw new Error("its networks are too large for WebGL2 here");
    this.forget();
  }

  /** Uploads the weights of cells that changed. */
  prepare(state, cells, whole) {
    const { gl, renderer } = this;
    const size = columnsOf(renderer.config) * 4;
    const stride = Math.ceil(size / this.unit) * this.unit;
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.bindBuffer(gl.UNIFORM_BUFFER, this.buffer);
    if (whole) {
      const all = new Float32Array(stride * state.cells);
      for (const cell of cells) this.#pack(state, cell, all.subarray(cell * stride, cell * stride + size));
      gl.bufferData(gl.UNIFORM_BUFFER, all, gl.DYNAMIC_DRAW);
    } else {
      const one = new Float32Array(size);
      for (const cell of cells) {
        this.#pack(state, cell, one);
        gl.bufferSubData(gl.UNIFORM_BUFFER, cell * stride * 4, one);
      }
    }
    Object.assign(this, { size, stride });
  }

  #pack(state, cell, target) {
    packed(this.renderer.weights(state, cell), this.renderer.config, this.mask, target);
  }

  /** Draws a rectangle of pixels that some cells draw together. */
  rectangle(rows, cols, drawers) {
    const { gl, canvas, x, y } = this;
    const { program, uniforms } = this.#program(drawers.length);
    const { width, height } = canvas;
    gl.useProgram(program);
    drawers.forEach(({ cell }, i) =>
      gl.bindBufferRange(gl.UNIFORM_BUFFER, i, this.buffer, cell * this.stride * 4, this.size * 4),
    );
    const upwards = height - 0.5; // WebGL counts rows from below, and a pixel's centre is half a pixel on
    const places = drawers.flatMap(({ row, col }) => [
      ...[2 * x.step, -2 * y.step],
      ...[x.coordinate(-0.5, col), y.coordinate(upwards, row)],
    ]);
    gl.uniform4fv(uniforms.places, places);
    const [right, below] = [x.step * x.strip, y.step * y.strip];
    const across = cols.blended ? [right, 0, x.share(-0.5, cols)] : [0, -below, y.share(upwards, rows)];
    gl.uniform3fv(uniforms.across, across);
    gl.uniform3fv(uniforms.down, [0, -below, y.share(upwards, rows)]);
    const across2 = (pixel) => (2 * pixel) / width - 1;
    const up = (pixel) => 1 - (2 * pixel) / height;
    gl.uniform4f(uniforms.corners, across2(cols.first), up(rows.beyond), across2(cols.beyond), up(rows.first));
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }

  finish() {
    this.gl.flush();
  }

  /** The program for rectangles of so many networks, made when it is first needed. */
  #program(networks) {
    const key = `${this.renderer === this.model.renderers.detail}${networks}`;
    if (!this.programs.has(key)) {
      const { gl } = this;
      const program = gl.createProgram();
      for (const [kind, text] of [
        [gl.VERTEX_SHADER, VERTEX],
        [gl.FRAGMENT_SHADER, fragment(this.renderer.config, networks)],
      ]) {
        const shader = gl.createShader(kind);
        gl.shaderSource(shader, text);
        gl.compileShader(shader);
        gl.attachShader(program, shader);
      }
      gl.linkProgram(program);
      if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost())
        throw new Error(`the shader cannot be used here: ${gl.getProgramInfoLog(program)}`);
      for (let i = 0; i < networks; i++)
        gl.uniformBlockBinding(program, gl.getUniformBlockIndex(program, `Network${i}`), i);
      const at = (name) => gl.getUniformLocation(program, name);
      const uniforms = { corners: at("corners"), places: at("places"), across: at("across"), down: at("down") };
      this.programs.set(key, { program, uniforms });
    }
    return this.programs.get(key);
  }
}
