"""What the people of the demo are called, and what they write, call about and answer.

All invented: names are common ones put together by chance, numbers come from ranges that are set
aside for fiction (GB, US, DE) or are plainly made up (CN), addresses end in ``example``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Story:
    """A matter from its first word to its last. ``{order}`` and ``{name}`` are filled in."""

    queue: str
    kind: str
    subject: str
    opening: str
    note: str
    reply: str
    thanks: str
    priority: str = "normal"


@dataclass(frozen=True, slots=True)
class DemoAgent:
    email: str
    name: str
    role: str
    extension: str
    language: str
    queues: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DemoQueue:
    name: str
    title_en: str
    title_zh: str
    dnis: tuple[str, ...]


PASSWORD = "ringpost-demo"
"""Of all five demo agents; the demo is for a machine of one's own."""

AGENTS = (
    DemoAgent("admin@ringpost.example", "Alex Morgan", "administrator", "200", "en", ("support",)),
    DemoAgent("lin@ringpost.example", "林若溪", "supervisor", "201", "zh_CN", ("service-zh", "support")),
    DemoAgent("grace@ringpost.example", "Grace Okafor", "agent", "202", "en", ("support", "sales")),
    DemoAgent("daniel@ringpost.example", "Daniel Weber", "agent", "203", "en", ("support", "sales")),
    DemoAgent("chen@ringpost.example", "陈思远", "agent", "204", "zh_CN", ("service-zh", "support")),
)

QUEUES = (
    DemoQueue("support", "Support", "技术支持", ("+442079460100", "+493023125100")),
    DemoQueue("sales", "Sales", "销售咨询", ("+442079460200", "+12025550142")),
    DemoQueue("service-zh", "Chinese service", "客户服务", ("+861055550100",)),
)


def _words(text: str) -> tuple[str, ...]:
    """A text's words, or what stands between its commas."""
    return tuple(text.split("," if "," in text else None))


GIVEN_EN = _words(
    "Olivia Amelia Isla Ava Freya Lily Florence Rosie Harriet Megan Oliver George Arthur Noah Leo Oscar Theo "
    "Harry Samuel Edward Emma Mia Hannah Clara Johanna Lukas Felix Jonas Paul Moritz Ethan Mason Abigail Zoe "
    "Aisha Omar Priyanka Arjun Chidi Amara Mateusz Zofia Ingrid Henrik"
)
FAMILY_EN = _words(
    "Whitfield Hargreaves Ashworth Pemberton Kirkby Langley Marlow Thornton Okoye Banerjee Novak Kowalczyk "
    "Lindqvist Brandt Vogel Hartmann Keller Albrecht Sommer Delgado Rivera Castellano Ferrante Moreau Whitaker "
    "Holloway Prescott Ellison Garrett Tran Yilmaz Haddad Mensah Osei"
)
COMPANIES_EN = _words(
    "Harbour Lane Dental,Fenwick & Rowe Solicitors,Blue Kettle Cafés,Northgate Veterinary Clinic,"
    "Milestone Cycles,Oakfield Primary School,Tidewater Logistics,Copperfield Books,Larkspur Property,"
    "Steinhof Maschinenbau GmbH,Alsterblick Hotel GmbH,Bergmann Optik,Summit Ridge Outfitters,"
    "Cedar Valley Clinic,Juniper Street Bakery,Quayside Architects"
)
FAMILY_ZH = tuple("王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林郑谢罗梁宋唐许")
GIVEN_ZH = _words(
    "晓明 建国 丽华 志强 秀英 思雨 子涵 浩然 欣怡 宇轩 雨桐 嘉怡 俊杰 文博 海燕 春梅 国栋 晓东 婷婷 雪梅 "
    "永康 佳琪 明轩 诗涵 振华 玉兰 天佑 若兰 家豪 淑芬"
)
COMPANIES_ZH = _words(
    "北京晨曦文化传播有限公司,上海云帆物流有限公司,广州南粤食品有限公司,深圳星桥科技有限公司,杭州听雨茶业有限公司,"
    "成都锦里餐饮管理有限公司,南京梧桐书店,苏州园林设计院,武汉江城口腔诊所,西安古城旅行社"
)

STORIES_EN = (
    Story(
        "support", "fault_report", "Washing machine stops with error E18",
        "Hello,\n\nmy washing machine from order {order} stops in the middle of the programme and shows E18. "
        "I have cleaned the filter twice. It is eight months old.\n\nCan somebody have a look?\n\nKind regards\n{name}",
        "Machine stops with E18, filter cleaned. Asked for the serial number, pump suspected.",
        "Dear {name},\n\nE18 means that the water does not drain in time. Please check that the hose behind the "
        "machine is not bent. If it is straight, we will send an engineer at no cost: which day suits you?\n\n"
        "Best regards",
        "Thank you, Thursday morning would be perfect.", "high",
    ),
    Story(
        "support", "inquiry", "Where is my order {order}?",
        "Hi,\n\nthe tracking page of order {order} has said \"leaving the depot\" for four days now. "
        "Is there anything wrong with it?\n\nThanks\n{name}",
        "Asks for order {order}, no scan for four days. Depot confirms that it is on the van today.",
        "Dear {name},\n\nsorry for the silence: the parcel was sorted into the wrong cage. It is on the van now and "
        "arrives tomorrow between 9 and 12.\n\nBest regards",
        "It has just arrived. Thanks for looking into it!",
    ),
    Story(
        "support", "return", "Return of a kettle, wrong colour",
        "Good morning,\n\nI ordered the kettle in sage green (order {order}) and got the black one. "
        "How do I send it back?\n\n{name}",
        "Got black instead of green, wants to swap. Return label sent by mail.",
        "Dear {name},\n\nour mistake. A return label is attached; the green kettle leaves today and you need not wait "
        "for the black one to be back here.\n\nBest regards",
        "Dropped it at the post office today.",
    ),
    Story(
        "support", "complaint", "Charged twice for order {order}",
        "Hello,\n\nmy card statement shows the amount of order {order} twice, on the same day. "
        "Please refund one of them and tell me when.\n\n{name}",
        "Double charge confirmed in the payment log, second one is only a reservation. Explained, wants it in writing.",
        "Dear {name},\n\nwe see one payment and one reservation; the reservation falls away by itself within five "
        "working days. Should it still be there on Friday, write to us and we will call your bank.\n\nBest regards",
        "It is gone, thank you for the explanation.", "high",
    ),
    Story(
        "support", "service_request", "Change of delivery address",
        "Hi there,\n\nwe are moving next week. Please send order {order} to our new place: "
        "14 Example Crescent, second floor.\n\nMany thanks\n{name}",
        "New address taken for order {order}, postcode read back.",
        "Dear {name},\n\nthe address is changed and the delivery stays on the same day. Good luck with the move!\n\n"
        "Best regards",
        "Great, thanks for the quick answer.",
    ),
    Story(
        "sales", "inquiry", "Prices for twelve coffee machines",
        "Hello,\n\nwe are fitting out a new office for about eighty people and need twelve coffee machines with "
        "service. Could you send us an offer by the end of the week?\n\nRegards\n{name}",
        "Twelve machines, eighty people, wants the service contract included. Offer promised by Friday.",
        "Dear {name},\n\nthank you for asking. For twelve machines we suggest the B3 with a service visit every "
        "quarter; the offer is attached. The price holds for thirty days.\n\nBest regards",
        "Looks good. Could we have a demonstration first?",
    ),
    Story(
        "sales", "callback", "Please call me about the service contract",
        "Hi,\n\nI would like to talk about extending our service contract before it ends in March. "
        "Afternoons are best.\n\n{name}",
        "Wants to extend the contract by two years, asks for a discount. Needs approval.",
        "Dear {name},\n\nI tried to reach you just now and will call again tomorrow at two o'clock.\n\nBest regards",
        "Two o'clock is fine.",
    ),
    Story(
        "support", "work_order", "Installation appointment for the dishwasher",
        "Hello,\n\nthe dishwasher of order {order} was delivered but the fitter did not come. "
        "When can we expect somebody?\n\nBest wishes\n{name}",
        "Fitter did not turn up, customer waited all morning. New appointment on Saturday 8 to 10.",
        "Dear {name},\n\nwe are sorry that you waited in vain. The fitter comes on Saturday between 8 and 10 and "
        "calls half an hour before. The installation is free of charge.\n\nBest regards",
        "He came and it works. Thank you.", "urgent",
    ),
    Story(
        "support", "inquiry", "Invoice for order {order}",
        "Dear team,\n\nfor our bookkeeping we need the invoice of order {order} with our VAT number on it.\n\n{name}",
        "Needs an invoice with VAT number, number taken down.",
        "Dear {name},\n\nthe invoice with your VAT number is attached.\n\nBest regards",
        "Perfect, thank you.", "low",
    ),
    Story(
        "support", "fault_report", "Fridge is too loud at night",
        "Hi,\n\nour fridge hums so loudly at night that we close the kitchen door. It is level, I have checked. "
        "Is that normal for this model?\n\n{name}",
        "Loud hum, level checked, compressor feet probably still locked with the transport screws.",
        "Dear {name},\n\nplease look at the back, near the floor: the two red transport screws must be taken out. "
        "With them in, the compressor shakes the whole housing.\n\nBest regards",
        "That was it! I would never have found them.",
    ),
)  # fmt: skip

STORIES_ZH = (
    Story(
        "service-zh", "fault_report", "洗衣机显示 E18 故障",
        "您好：\n\n我家洗衣机（订单号 {order}）洗到一半就停，屏幕显示 E18，过滤网已经清洗过两次，仍然不行。"
        "机器买了才八个月，请尽快安排维修。\n\n{name}",
        "洗衣机报 E18，已清洗过滤网，怀疑排水泵故障，已登记序列号。",
        "{name}，您好：\n\nE18 表示排水超时。请先检查机器背后的排水管是否弯折。如果没有问题，我们免费安排工程师上门，"
        "请告诉我们您方便的时间。\n\n此致\n客户服务部",
        "谢谢，周四上午我在家。", "high",
    ),
    Story(
        "service-zh", "inquiry", "订单 {order} 一直没有物流更新",
        "你好，我的订单 {order} 已经四天没有物流更新了，请帮忙查一下到哪里了，急用。\n\n{name}",
        "客户查询订单 {order}，四天无更新，已联系仓库，今天派送。",
        "{name}，您好：\n\n非常抱歉，包裹在分拨中心被分错了线路，现已重新发出，预计明天上午送达。\n\n此致\n客户服务部",
        "已经收到了，谢谢你们的帮助。",
    ),
    Story(
        "service-zh", "return", "收到的水壶颜色不对，申请换货",
        "您好，我订的是豆绿色的水壶（订单号 {order}），收到的却是黑色的，请问怎么换？\n\n{name}",
        "发错颜色，客户要求换货，已发送退货单。",
        "{name}，您好：\n\n这是我们的失误，十分抱歉。退货单已发到您的邮箱，豆绿色的水壶今天寄出，无需等待退货到仓。\n\n此致\n客户服务部",
        "今天已经寄回去了。",
    ),
    Story(
        "service-zh", "complaint", "订单 {order} 被重复扣款",
        "你们好！银行账单显示订单 {order} 扣了两次款，请尽快退回其中一笔，并告诉我到账时间。\n\n{name}",
        "核实为一笔扣款、一笔预授权，已向客户说明，客户要求书面答复。",
        "{name}，您好：\n\n经核实，其中一笔为预授权，五个工作日内会自动撤销。如果周五仍未撤销，请联系我们，我们会与银行沟通。\n\n此致\n客户服务部",
        "今天看到已经退回来了，谢谢。", "high",
    ),
    Story(
        "service-zh", "service_request", "修改收货地址",
        "您好，我们下周搬家，请把订单 {order} 的收货地址改为：示例路 14 号 2 楼。谢谢！\n\n{name}",
        "已登记新地址，并与客户核对邮编。",
        "{name}，您好：\n\n收货地址已修改，送货日期不变。祝您搬家顺利！\n\n此致\n客户服务部",
        "好的，谢谢，回复真快。",
    ),
    Story(
        "sales", "inquiry", "咨询十二台咖啡机的报价",
        "您好，我们新办公室大约八十人，想采购十二台咖啡机，需要包含保养服务，请在本周内报价。\n\n{name}",
        "采购十二台，含保养，约定周五前报价。",
        "{name}，您好：\n\n感谢您的咨询。我们推荐 B3 型号，每季度保养一次，报价单见附件，三十天内有效。"
        "\n\n此致\n销售部",
        "报价收到，能否先安排一次现场演示？",
    ),
    Story(
        "service-zh", "callback", "请回电：延长保修的事宜",
        "您好，我想了解延长保修的费用，下午方便接电话，请回电。\n\n{name}",
        "客户咨询延保两年的费用，约定明天下午两点回电。",
        "{name}，您好：\n\n刚才给您打电话未能接通，我们明天下午两点再与您联系。\n\n此致\n客户服务部",
        "好的，两点可以。",
    ),
    Story(
        "service-zh", "work_order", "洗碗机安装师傅没有来",
        "你好，洗碗机（订单号 {order}）已经送到，可约好的安装师傅没有来，我等了一上午，请给个说法。\n\n{name}",
        "安装师傅未按时上门，已改约周六上午 8 点至 10 点，免安装费。",
        "{name}，您好：\n\n让您久等了，非常抱歉。师傅将于周六上午 8 点至 10 点上门，出发前半小时会致电，安装费全免。"
        "\n\n此致\n客户服务部",
        "师傅来过了，已经装好，谢谢。", "urgent",
    ),
    Story(
        "service-zh", "inquiry", "申请开具订单 {order} 的发票",
        "您好，请为订单 {order} 开具增值税发票，抬头和税号见公司资料。谢谢。\n\n{name}",
        "客户需要发票，税号已登记。",
        "{name}，您好：\n\n电子发票已开具，请查收附件。\n\n此致\n客户服务部",
        "收到，谢谢！", "low",
    ),
)  # fmt: skip
