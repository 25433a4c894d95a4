"""Every elementwise rule, transcribed for one weight in plain Python floats from its paper's or its library's text.

Each is a generator: (w, its gradients, the learning rates) to the new w's. Hyperparameters have this package's names
and the defaults of paper or library, written down a second time. The order of operations is the source's, not ours:
PyTorch's ``lerp``, Keras's ``m += (g - m) (1 - beta_1)``. Nothing here imports the package.
"""

from __future__ import annotations

import math


def counted(gradients, rates):
    """(step from 1, gradient, learning rate) of each step."""
    for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), 1):
        yield t, g, lr


# ---- the textbook's nine, from the papers; epsilon is this package's choice, so it has to be given ----


def sgd(w, gradients, rates):
    for g, lr in zip(gradients, rates, strict=True):
        w -= lr * g
        yield w


def momentum(w, gradients, rates, beta=0.9):
    velocity = 0.0
    for g, lr in zip(gradients, rates, strict=True):
        velocity = beta * velocity - lr * g
        w += velocity
        yield w


def nesterov(w, gradients, rates, beta=0.9):
    # theta is the paper's point, w the point ahead of it where the gradient is taken
    theta, velocity = w, 0.0
    for g, lr in zip(gradients, rates, strict=True):
        velocity = beta * velocity - lr * g
        theta += velocity
        yield theta + beta * velocity


def adagrad(w, gradients, rates, *, eps):
    squares = []
    for g, lr in zip(gradients, rates, strict=True):
        squares.append(g * g)
        w -= lr * g / math.sqrt(math.fsum(squares) + eps)
        yield w


def rmsprop(w, gradients, rates, beta=0.9, *, eps):
    mean_square = 0.0
    for g, lr in zip(gradients, rates, strict=True):
        mean_square = beta * mean_square + (1 - beta) * g**2
        w -= lr / math.sqrt(mean_square + eps) * g
        yield w


def adam(w, gradients, rates, beta1=0.9, beta2=0.999, *, eps):
    m = v = 0.0
    for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = m / (1 - math.pow(beta1, t))
        v_hat = v / (1 - math.pow(beta2, t))
        w -= lr * m_hat / math.sqrt(v_hat + eps)
        yield w


def adamax(w, gradients, rates, beta1=0.9, beta2=0.999, *, eps):
    m = u = 0.0
    for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), 1):
        m = beta1 * m + (1 - beta1) * g
        u = max(beta2 * u, math.fabs(g))
        w -= (lr / (1 - math.pow(beta1, t))) * m / (u + eps)
        yield w


def nadam(w, gradients, rates, beta1=0.9, beta2=0.999, *, eps):
    m = n = 0.0
    for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), 1):
        correction = 1 - math.pow(beta1, t)
        g_hat = g / correction
        m = beta1 * m + (1 - beta1) * g
        m_hat = m / correction
        n = beta2 * n + (1 - beta2) * g**2
        n_hat = n / (1 - math.pow(beta2, t))
        m_bar = (1 - beta1) * g_hat + beta1 * m_hat
        w -= lr * m_bar / math.sqrt(n_hat + eps)
        yield w


def adamw(w, gradients, rates, beta1=0.9, beta2=0.999, *, eps, weight_decay=0.01):
    m = v = 0.0
    for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = m / (1 - math.pow(beta1, t))
        v_hat = v / (1 - math.pow(beta2, t))
        w -= lr * (m_hat / math.sqrt(v_hat + eps) + weight_decay * w)
        yield w


# ---- beyond the textbook: PyTorch for Adadelta and RAdam, Optax (0.2.8) for the others ----


def adadelta(w, gradients, rates, rho=0.95, eps=1e-6):
    # Zeiler (2012), Algorithm 1, line by line, with RMS[x] = sqrt(E[x^2] + eps)
    mean_square_g = mean_square_dx = 0.0
    for g, lr in zip(gradients, rates, strict=True):
        mean_square_g = rho * mean_square_g + (1 - rho) * g**2
        dx = -(math.sqrt(mean_square_dx + eps) / math.sqrt(mean_square_g + eps)) * g
        mean_square_dx = rho * mean_square_dx + (1 - rho) * dx**2
        w += lr * dx
        yield w


def amsgrad(w, gradients, rates, beta1=0.9, beta2=0.999, eps=1e-8):
    # optax.scale_by_amsgrad: both moments are corrected before the maximum
    mu = nu = nu_max = 0.0
    for count, g, lr in counted(gradients, rates):
        mu = (1 - beta1) * g + beta1 * mu
        nu = (1 - beta2) * g**2 + beta2 * nu
        nu_max = max(nu_max, nu / (1 - beta2**count))
        w += -lr * (mu / (1 - beta1**count)) / (math.sqrt(nu_max) + eps)
        yield w


def radam(w, gradients, rates, beta1=0.9, beta2=0.999, eps=1e-8):
    # torch.optim.radam._single_tensor_radam
    exp_avg = exp_avg_sq = 0.0
    rho_inf = 2 / (1 - beta2) - 1
    for step, g, lr in counted(gradients, rates):
        exp_avg += (1 - beta1) * (g - exp_avg)
        exp_avg_sq = exp_avg_sq * beta2 + (1 - beta2) * g * g
        bias_correction2 = 1 - beta2**step
        corrected = exp_avg / (1 - beta1**step)
        rho_t = rho_inf - 2 * step * beta2**step / bias_correction2
        if rho_t > 5:
            rect = math.sqrt((rho_t - 4) * (rho_t - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho_t))
            corrected *= math.sqrt(bias_correction2) / (math.sqrt(exp_avg_sq) + eps) * rect
        w -= lr * corrected
        yield w


def adabelief(w, gradients, rates, beta1=0.9, beta2=0.999, eps=1e-16):
    # optax.scale_by_belief with eps_root = eps, as its defaults are
    mu = nu = 0.0
    for count, g, lr in counted(gradients, rates):
        mu = (1 - beta1) * g + beta1 * mu
        nu = (1 - beta2) * (g - mu) ** 2 + beta2 * nu + eps
        w += -lr * (mu / (1 - beta1**count)) / (math.sqrt(nu / (1 - beta2**count)) + eps)
        yield w


def adan(w, gradients, rates, beta1=0.98, beta2=0.92, beta3=0.99, eps=1e-8, weight_decay=0.0):
    # optax.scale_by_adan with eps_root = 0
    m = v = n = previous = 0.0
    for t, g, lr in counted(gradients, rates):
        diff = 0.0 if t == 1 else g - previous
        previous = g
        m = (1 - beta1) * g + beta1 * m
        v = (1 - beta2) * diff + beta2 * v
        n = (1 - beta3) * (g + (1 - beta2) * diff) ** 2 + beta3 * n
        u = m / (1 - beta1**t) + (1 - beta2) * (v / (1 - beta2**t))
        w += -lr * (u / (math.sqrt(n / (1 - beta3**t)) + eps) + weight_decay * w)
        yield w


def sign(x):
    return float(x > 0) - float(x < 0)


def lion(w, gradients, rates, beta1=0.9, beta2=0.99, weight_decay=0.0):
    # optax.scale_by_lion, then add_decayed_weights
    mu = 0.0
    for g, lr in zip(gradients, rates, strict=True):
        direction = sign((1 - beta1) * g + beta1 * mu)
        mu = (1 - beta2) * g + beta2 * mu
        w += -lr * (direction + weight_decay * w)
        yield w


def schedule_free_adamw(w, gradients, rates, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    # Defazio et al. (2024), Algorithm 1, with x and z themselves as state; every step weighs the same in x
    x = z = w
    nu = 0.0
    for t, g, lr in counted(gradients, rates):
        y = (1 - beta1) * z + beta1 * x
        nu = beta2 * nu + (1 - beta2) * g**2
        z = z - lr * g / (math.sqrt(nu / (1 - beta2**t)) + eps) - lr * weight_decay * y
        x = (1 - 1 / t) * x + (1 / t) * z
        yield (1 - beta1) * z + beta1 * x


# ---- PyTorch 2.13, from the _single_tensor functions of torch/optim ----


def lerp(start, end, weight):
    return start + weight * (end - start)


def torch_sgd(w, gradients, rates, weight_decay=0.0):
    for grad, lr in zip(gradients, rates, strict=True):
        w -= lr * (grad + weight_decay * w)
        yield w


def torch_momentum(w, gradients, rates, beta=0.9, dampening=0.0, weight_decay=0.0):
    buf = None
    for grad, lr in zip(gradients, rates, strict=True):
        grad += weight_decay * w
        buf = grad if buf is None else buf * beta + (1 - dampening) * grad
        w -= lr * buf
        yield w


def torch_nesterov(w, gradients, rates, beta=0.9, weight_decay=0.0):
    buf = None
    for grad, lr in zip(gradients, rates, strict=True):
        grad += weight_decay * w
        buf = grad if buf is None else buf * beta + grad
        w -= lr * (grad + beta * buf)
        yield w


def torch_adagrad(w, gradients, rates, eps=1e-10, lr_decay=0.0, weight_decay=0.0):
    state_sum = 0.0
    for step, grad, lr in counted(gradients, rates):
        grad += weight_decay * w
        clr = lr / (1 + (step - 1) * lr_decay)
        state_sum += grad * grad
        w -= clr * (grad / (math.sqrt(state_sum) + eps))
        yield w


def torch_rmsprop_of(centered, with_momentum):
    def rmsprop(w, gradients, rates, beta=0.99, momentum=0.9, eps=1e-8, weight_decay=0.0):
        square_avg = grad_avg = buf = 0.0
        for grad, lr in zip(gradients, rates, strict=True):
            grad += weight_decay * w
            square_avg = square_avg * beta + (1 - beta) * grad * grad
            grad_avg = lerp(grad_avg, grad, 1 - beta)
            avg = math.sqrt(square_avg - grad_avg * grad_avg if centered else square_avg) + eps
            buf = buf * (momentum if with_momentum else 0.0) + grad / avg
            w -= lr * buf
            yield w

    return rmsprop


def torch_adadelta(w, gradients, rates, rho=0.9, eps=1e-6, weight_decay=0.0):
    square_avg = acc_delta = 0.0
    for grad, lr in zip(gradients, rates, strict=True):
        grad += weight_decay * w
        square_avg = square_avg * rho + (1 - rho) * grad * grad
        delta = math.sqrt(acc_delta + eps) / math.sqrt(square_avg + eps) * grad
        acc_delta = acc_delta * rho + (1 - rho) * delta * delta
        w -= lr * delta
        yield w


def torch_adam_of(amsgrad, decoupled):
    def adam(w, gradients, rates, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01 if decoupled else 0.0):
        exp_avg = exp_avg_sq = max_exp_avg_sq = 0.0
        for step, grad, lr in counted(gradients, rates):
            if decoupled:
                w *= 1 - lr * weight_decay
            else:
                grad += weight_decay * w
            exp_avg = lerp(exp_avg, grad, 1 - beta1)
            exp_avg_sq = exp_avg_sq * beta2 + (1 - beta2) * grad * grad
            step_size = lr / (1 - beta1**step)
            max_exp_avg_sq = max(max_exp_avg_sq, exp_avg_sq)
            second = max_exp_avg_sq if amsgrad else exp_avg_sq
            denom = math.sqrt(second) / math.sqrt(1 - beta2**step) + eps
            w -= step_size * exp_avg / denom
            yield w

    return adam


def torch_adamax(w, gradients, rates, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    exp_avg = exp_inf = 0.0
    for step, grad, lr in counted(gradients, rates):
        grad += weight_decay * w
        exp_avg = lerp(exp_avg, grad, 1 - beta1)
        exp_inf = max(exp_inf * beta2, abs(grad) + eps)
        w -= lr / (1 - beta1**step) * exp_avg / exp_inf
        yield w


def torch_nadam(w, gradients, rates, beta1=0.9, beta2=0.999, eps=1e-8, momentum_decay=0.004, weight_decay=0.0):
    exp_avg = exp_avg_sq = 0.0
    mu_product = 1.0
    for step, grad, lr in counted(gradients, rates):
        grad += weight_decay * w
        mu = beta1 * (1.0 - 0.5 * 0.96 ** (step * momentum_decay))
        mu_next = beta1 * (1.0 - 0.5 * 0.96 ** ((step + 1) * momentum_decay))
        mu_product *= mu
        exp_avg = lerp(exp_avg, grad, 1 - beta1)
        exp_avg_sq = exp_avg_sq * beta2 + (1 - beta2) * grad * grad
        denom = math.sqrt(exp_avg_sq / (1 - beta2**step)) + eps
        w += -lr * (1.0 - mu) / (1.0 - mu_product) * grad / denom
        w += -lr * mu_next / (1.0 - mu_product * mu_next) * exp_avg / denom
        yield w


# ---- Keras 3.15, from update_step and _apply_weight_decay of keras/src/optimizers ----


def decayed(variable, weight_decay, lr):
    return variable - variable * weight_decay * lr


def keras_sgd(w, gradients, rates, weight_decay=0.0):
    for gradient, lr in zip(gradients, rates, strict=True):
        w = decayed(w, weight_decay, lr) - gradient * lr
        yield w


def keras_momentum(w, gradients, rates, beta=0.9, weight_decay=0.0):
    m = 0.0
    for gradient, lr in zip(gradients, rates, strict=True):
        m = m * beta - gradient * lr
        w = decayed(w, weight_decay, lr) + m
        yield w


def keras_nesterov(w, gradients, rates, beta=0.9, weight_decay=0.0):
    m = 0.0
    for gradient, lr in zip(gradients, rates, strict=True):
        m = m * beta - gradient * lr
        w = decayed(w, weight_decay, lr) + (m * beta - gradient * lr)
        yield w


def keras_adagrad(w, gradients, rates, eps=1e-7, weight_decay=0.0):
    accumulator = 0.1
    for gradient, lr in zip(gradients, rates, strict=True):
        accumulator += gradient**2
        w = decayed(w, weight_decay, lr) - lr * gradient / math.sqrt(accumulator + eps)
        yield w


def keras_rmsprop_of(centered, with_momentum):
    def rmsprop(w, gradients, rates, beta=0.9, momentum=0.9, eps=1e-7, weight_decay=0.0):
        velocity = average_grad = velocity_of_weights = 0.0
        for gradient, lr in zip(gradients, rates, strict=True):
            velocity = beta * velocity + (1 - beta) * gradient**2
            average_grad = beta * average_grad + (1 - beta) * gradient
            denominator = velocity - average_grad**2 + eps if centered else velocity + eps
            increment = lr * gradient / math.sqrt(denominator)
            velocity_of_weights = momentum * velocity_of_weights + increment
            w = decayed(w, weight_decay, lr) - (velocity_of_weights if with_momentum else increment)
            yield w

    return rmsprop


def keras_adadelta(w, gradients, rates, rho=0.95, eps=1e-7, weight_decay=0.0):
    accumulated_grad = accumulated_delta_var = 0.0
    for grad, lr in zip(gradients, rates, strict=True):
        accumulated_grad = rho * accumulated_grad + (1 - rho) * grad**2
        delta_var = -(math.sqrt(accumulated_delta_var + eps) * grad / math.sqrt(accumulated_grad + eps))
        accumulated_delta_var = rho * accumulated_delta_var + (1 - rho) * delta_var**2
        w = decayed(w, weight_decay, lr) + lr * delta_var
        yield w


def keras_adam_of(amsgrad, default_decay):
    def adam(w, gradients, rates, beta1=0.9, beta2=0.999, eps=1e-7, weight_decay=default_decay):
        m = v = v_hat = 0.0
        for local_step, gradient, lr in counted(gradients, rates):
            alpha = lr * math.sqrt(1 - beta2**local_step) / (1 - beta1**local_step)
            m += (gradient - m) * (1 - beta1)
            v += (gradient**2 - v) * (1 - beta2)
            v_hat = max(v_hat, v)
            w = decayed(w, weight_decay, lr) - m * alpha / (math.sqrt(v_hat if amsgrad else v) + eps)
            yield w

    return adam


def keras_adamax(w, gradients, rates, beta1=0.9, beta2=0.999, eps=1e-7, weight_decay=0.0):
    m = u = 0.0
    for local_step, gradient, lr in counted(gradients, rates):
        m += (gradient - m) * (1 - beta1)
        u = max(beta2 * u, abs(gradient))
        w = decayed(w, weight_decay, lr) - (lr * m) / ((1 - beta1**local_step) * (u + eps))
        yield w


def keras_nadam(w, gradients, rates, beta1=0.9, beta2=0.999, eps=1e-7, weight_decay=0.0):
    m = v = 0.0
    u_product = 1.0
    for local_step, gradient, lr in counted(gradients, rates):
        u_t = beta1 * (1.0 - 0.5 * 0.96**local_step)
        u_t_1 = beta1 * (1.0 - 0.5 * 0.96 ** (local_step + 1))
        u_product *= u_t
        m += (gradient - m) * (1 - beta1)
        v += (gradient**2 - v) * (1 - beta2)
        m_hat = u_t_1 * m / (1 - u_product * u_t_1) + (1 - u_t) * gradient / (1 - u_product)
        v_hat = v / (1 - beta2**local_step)
        w = decayed(w, weight_decay, lr) - m_hat * lr / (math.sqrt(v_hat) + eps)
        yield w


def keras_lion(w, gradients, rates, beta1=0.9, beta2=0.99, weight_decay=0.0):
    m = 0.0
    for gradient, lr in zip(gradients, rates, strict=True):
        w = decayed(w, weight_decay, lr) - lr * sign(m * beta1 + gradient * (1 - beta1))
        m = m * beta2 + gradient * (1 - beta2)
        yield w


REFERENCES = {
    "textbook": {
        "sgd": sgd,
        "momentum": momentum,
        "nesterov": nesterov,
        "adagrad": adagrad,
        "rmsprop": rmsprop,
        "adam": adam,
        "adamax": adamax,
        "nadam": nadam,
        "adamw": adamw,
        "adadelta": adadelta,
        "amsgrad": amsgrad,
        "radam": radam,
        "adabelief": adabelief,
        "adan": adan,
        "lion": lion,
        "schedule_free_adamw": schedule_free_adamw,
    },
    "torch": {
        "sgd": torch_sgd,
        "momentum": torch_momentum,
        "nesterov": torch_nesterov,
        "adagrad": torch_adagrad,
        "rmsprop": torch_rmsprop_of(centered=False, with_momentum=False),
        "rmsprop_momentum": torch_rmsprop_of(centered=False, with_momentum=True),
        "rmsprop_centered": torch_rmsprop_of(centered=True, with_momentum=False),
        "rmsprop_centered_momentum": torch_rmsprop_of(centered=True, with_momentum=True),
        "adadelta": torch_adadelta,
        "adam": torch_adam_of(amsgrad=False, decoupled=False),
        "amsgrad": torch_adam_of(amsgrad=True, decoupled=False),
        "adamax": torch_adamax,
        "nadam": torch_nadam,
        "adamw": torch_adam_of(amsgrad=False, decoupled=True),
    },
    "keras": {
        "sgd": keras_sgd,
        "momentum": keras_momentum,
        "nesterov": keras_nesterov,
        "adagrad": keras_adagrad,
        "rmsprop": keras_rmsprop_of(centered=False, with_momentum=False),
        "rmsprop_momentum": keras_rmsprop_of(centered=False, with_momentum=True),
        "rmsprop_centered": keras_rmsprop_of(centered=True, with_momentum=False),
        "rmsprop_centered_momentum": keras_rmsprop_of(centered=True, with_momentum=True),
        "adadelta": keras_adadelta,
        "adam": keras_adam_of(amsgrad=False, default_decay=0.0),
        "amsgrad": keras_adam_of(amsgrad=True, default_decay=0.0),
        "adamax": keras_adamax,
        "nadam": keras_nadam,
        "adamw": keras_adam_of(amsgrad=False, default_decay=0.004),
        "lion": keras_lion,
    },
}
"""Convention, then rule, to the generator of its weights."""
